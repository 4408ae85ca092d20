"""When jobs run: systemd, cron, or a scheduler in the foreground; each only calls the command line."""
