"""A schedule as text for other schedulers: systemd units and a crontab line, which call the command line only.

A path may hold blanks, quotes, `%` and `$`: it is one argument, whatever is in it. What cannot be said safely in
one of the two languages is refused with a sentence, never guessed at.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from editlog.errors import UsageError
from lifelong.scheduling.schedule import Schedule

BUSY_AGAIN_SECONDS = 300
BUSY_TIMES = 12
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Unit:
    """A systemd unit: the name of its file and its text."""

    name: str
    text: str


def job_command(home: Path, *, actor: str | None = None, reason: str | None = None) -> list[str]:
    """The command that runs one job on the workspace, where one is due, as a list of words."""
    told = ["--actor", actor or "scheduler", "--reason", reason or "scheduled"]
    return [*_command(home), "run", "--if-ready", *told]


def _command(home: Path) -> list[str]:
    return [sys.executable, "-m", "lifelong", "--home", str(home)]


def unit_name(home: Path) -> str:
    """What the units of a workspace are called: from its folder's name, and apart from any other workspace's."""
    readable = re.sub(r"[^a-z0-9]+", "-", home.name.lower()).strip("-")[:32] or "workspace"
    return f"lifelong-{readable}-{hashlib.sha256(str(home).encode(errors='surrogateescape')).hexdigest()[:8]}"


def systemd_units(home: Path, schedule: Schedule, command: Sequence[str] | None = None) -> list[Unit]:
    """A timer, the service it starts, and the service that looks into a failure.

    systemd starts no second one while the first runs. A busy workspace (75) is tried again every five minutes for
    an hour. Raises UsageError where a path or the schedule cannot be said in a unit.
    """
    name = unit_name(home)
    when = "\n".join(f"OnCalendar={expression}" for expression in schedule.on_calendar())
    job = _exec(command or job_command(home))
    timer = f"""\
[Unit]
Description=When the lifelong job of {name} runs

[Timer]
{when}
# A night on which the machine was off is caught up, once, when it is on again.
Persistent=true
AccuracySec=1min

[Install]
WantedBy=timers.target
"""
    service = f"""\
[Unit]
Description=The lifelong job of {name}
OnFailure={name}-failed.service
StartLimitIntervalSec={2 * BUSY_AGAIN_SECONDS * BUSY_TIMES}
StartLimitBurst={BUSY_TIMES}

[Service]
Type=exec
ExecStart={job}
# 3: done, but some facts were rejected, failed or held. 75: busy, to be tried again.
SuccessExitStatus=3
RestartForceExitStatus=75
RestartSec={BUSY_AGAIN_SECONDS}
Nice=10
NoNewPrivileges=true
"""
    failed = f"""\
[Unit]
Description=What is wrong with {name}, for its journal

[Service]
Type=oneshot
ExecStart={_exec([*_command(home), "doctor"])}
Nice=10
NoNewPrivileges=true
"""
    return [Unit(f"{name}.timer", timer), Unit(f"{name}.service", service), Unit(f"{name}-failed.service", failed)]


def crontab_line(home: Path, schedule: Schedule, command: Sequence[str] | None = None) -> str:
    """Lines for a crontab: the schedule and the command, quoted for the shell and for cron.

    Two at once cannot be: the second ends with 75 (busy). Raises UsageError where path or schedule cannot be said.
    """
    schedule.plain()
    words = command or job_command(home)
    for word in words:
        # Crons differ in what a backslash before anything but a per cent sign means.
        if _UNPRINTABLE.search(word) or "\\" in word:
            raise UsageError(f"{word!r} cannot stand in a crontab: it holds a backslash or a control character")
    line = f"{schedule.cron} {' '.join(map(shlex.quote, words))}".replace("%", r"\%")
    if schedule.timezone is None:
        return f"{line}\n"
    told = "# Read by cronie (Fedora, Arch); Debian's cron goes by the machine's clock alone."
    return f"{told}\nCRON_TZ={schedule.timezone}\n{line}\n"


def _exec(words: Sequence[str]) -> str:
    """Words as systemd's ExecStart= takes them, none of them expanded or split."""
    for word in words:
        if _UNPRINTABLE.search(word):
            raise UsageError(f"{word!r} cannot stand in a systemd unit: it holds a control character or is not UTF-8")
    if "$" in words[0]:
        raise UsageError(f"{words[0]!r} cannot stand in a systemd unit: a program's path must hold no `$`")
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
