"""Putting a workspace's units where the user's systemd finds them, and what a person types then."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from editlog.errors import UsageError
from lifelong.files import write_atomically
from lifelong.results import Result
from lifelong.scheduling.schedule import Schedule
from lifelong.scheduling.units import systemd_units


@dataclass(frozen=True)
class Installed(Result):
    """The units' files (`changed`: those that were not there like that), and the commands that switch them on."""

    files: list[str]
    changed: list[str]
    next: list[str]
    dry_run: bool


def install(home: Path, schedule: Schedule, *, directory: Path | None = None, dry_run: bool = False) -> Installed:
    """Write the units of a workspace into `directory` (None: where the user's systemd looks).

    Nothing is started: that is one command, which the result names. Raises UsageError where there is no systemd.
    """
    if directory is None:
        if shutil.which("systemctl") is None:
            raise UsageError(
                "there is no systemd on this machine: put the line of `lifelong schedule print cron` into your crontab"
                " (crontab -e), or keep `lifelong schedule run` running"
            )
        directory = user_units()
    units = systemd_units(home, schedule)
    wanted = {directory / unit.name: unit.text.encode() for unit in units}
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text]
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)
        for path in changed:
            write_atomically(path, wanted[path])
    return Installed(
        files=[str(path) for path in wanted],
        changed=[str(path) for path in changed],
        next=[
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {units[0].name}",
            "loginctl enable-linger  # so that it runs while you are logged out",
        ],
        dry_run=dry_run,
    )


def user_units() -> Path:
    """Where systemd looks for a user's own units."""
    configured = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(configured).expanduser().absolute() / "systemd" / "user"
