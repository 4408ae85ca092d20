"""schedule: when jobs run, by systemd, by cron, or by the scheduler in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from editlog.errors import UsageError
from lifelong.cli import text
from lifelong.cli.shell import (
    actor_option,
    dry_run_option,
    emit,
    home_option,
    log_format,
    reads,
    reason_option,
    workspace,
)

if TYPE_CHECKING:
    from lifelong.scheduling.schedule import Schedule
    from lifelong.workspace import Workspace

Command = TypeVar("Command", bound=Callable[..., Any])
SHOWN = 5


def timed(command: Command) -> Command:
    """Options of a verb that needs to know when: --cron, --timezone."""
    cron = click.option("--cron", help="Five cron fields [default: [schedule] in lifelong.toml, else 30 2 * * *].")
    zone = click.option(
        "--timezone", help="The clock they are read on, such as Europe/Vienna [default: the machine's]."
    )
    return cron(zone(command))


def _schedule(opened: Workspace, cron: str | None, timezone: str | None) -> Schedule:
    from pydantic import ValidationError

    from lifelong.config import first_problem
    from lifelong.scheduling.schedule import Schedule

    configured = opened.config.schedule
    try:
        return Schedule(cron=cron or configured.cron, timezone=timezone or configured.timezone)
    except ValidationError as error:
        raise UsageError(first_problem(error)) from error


@click.group()
def schedule() -> None:
    """Say when jobs run.

    By systemd (the best where it is), by cron, or by a scheduler in the foreground, for containers. Each only calls
    `lifelong run`, never two at once; [schedule] in lifelong.toml has `cron` and `timezone`.

    \b
    Example:
      lifelong schedule print systemd
    """


@schedule.command("print")
@click.argument("kind", type=click.Choice(["systemd", "cron"]))
@timed
@reads
def print_(kind: str, *, cron: str | None, timezone: str | None, as_json: bool, home: Path | None) -> None:
    """Print systemd units, or a line for a crontab.

    \b
    Examples:
      lifelong schedule print systemd --cron "0 3 * * *" --timezone Europe/Vienna
      lifelong schedule print cron
    """
    opened = workspace(home)
    when = _schedule(opened, cron, timezone)
    if kind == "cron":
        line = opened.crontab_line(when)
        emit({"crontab": line}, as_json, line.rstrip("\n"))
        return
    units = opened.systemd_units(when)
    shown = "\n".join(f"# {unit.name}\n{unit.text}" for unit in units)
    emit([{"name": unit.name, "text": unit.text} for unit in units], as_json, shown.rstrip("\n"))


@schedule.command()
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where to write the units.")
@timed
@dry_run_option
@reads
def install(
    directory: Path | None,
    *,
    cron: str | None,
    timezone: str | None,
    dry_run: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    """Write the systemd units where the user's systemd looks, and say how to switch them on.

    Nothing is started. Install again after the workspace or the Python it runs with has moved.

    \b
    Example:
      lifelong schedule install --cron "0 3 * * *" --dry-run
    """
    opened = workspace(home)
    done = opened.install_schedule(_schedule(opened, cron, timezone), directory=directory, dry_run=dry_run)
    told = [
        f"{'Would write' if dry_run else 'Wrote'} {text.count(len(done.changed), 'file')}:" if done.changed else "",
        *(f"  {path}" for path in done.changed),
        "" if done.changed else "The units are there already.",
        "Switch them on with:",
        *(f"  {command}" for command in done.next),
    ]
    emit(done.to_dict(), as_json, "\n".join(line for line in told if line))


@schedule.command()
@timed
@reason_option
@actor_option
@dry_run_option
@home_option
def run(
    *,
    cron: str | None,
    timezone: str | None,
    actor: str | None,
    reason: str | None,
    dry_run: bool,
    home: Path | None,
) -> None:
    """Run jobs when they are due, in the foreground, until told to stop.

    A night that was missed is caught up once. SIGTERM and Ctrl-C interrupt the job under way, which the next one
    resumes. With --dry-run, the next moments are printed.

    \b
    Example:
      lifelong schedule run --cron "30 2 * * *" --timezone Europe/Vienna
    """
    opened = workspace(home)
    when = _schedule(opened, cron, timezone)
    if dry_run:
        click.echo("\n".join(_next_moments(when)))
        return
    from lifelong.reports.logs import speak

    speak(log_format(opened))
    opened.serve_schedule(when, actor=actor, reason=reason)


def _next_moments(when: Schedule) -> list[str]:
    from datetime import UTC, datetime

    moment, lines = datetime.now(UTC), []
    for _ in range(SHOWN):
        moment = when.next_after(moment)
        lines.append(f"{moment.astimezone(when.zone):%Y-%m-%d %H:%M %z}")
    return lines
