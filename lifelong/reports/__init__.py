"""What people see of a job and of a workspace: pages, plots, gauges for Prometheus, lines of a log, hooks."""
