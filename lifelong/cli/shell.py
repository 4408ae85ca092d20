"""What every command shares: the options of the contract and the one way data leaves for stdout."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from lifelong.workspace import Workspace

Command = TypeVar("Command", bound=Callable[..., Any])


def _home_of(ctx: click.Context, _param: click.Parameter, home: Path | None) -> Path | None:
    """`--home` stands before or after the verb; after it wins."""
    return home or ctx.find_root().params.get("home")


home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_home_of,
    help="The workspace [default: LIFELONG_HOME, else ./lifelong-workspace].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value, and nothing else, on stdout.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
actor_option = click.option("--actor", help="Who does this, for the log [default: the OS user].")
reason_option = click.option("--reason", help="Why this is done, for the log.")


def _source(_ctx: click.Context, _param: click.Parameter, source: str | None) -> str | None:
    if source and source != "-" and not source.startswith("datasets:") and not Path(source).exists():
        raise click.BadParameter(f"there is no file or folder {source!r}.")
    return source


def source_argument(*, required: bool) -> Callable[[Command], Command]:
    """Where records are read from: a file, a folder, `-`, or `datasets:NAME`."""
    return click.argument("source", required=required, callback=_source)


sign_option = click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="KEYFILE",
    help="Sign with the key in this file (`lifelong keys new`).",
)
sign_days_option = click.option(
    "--sign-days",
    type=click.FloatRange(min=0, min_open=True, max=3650),
    help="How many days a signature may wait to be applied [default: 30].",
)


def signs(command: Command) -> Command:
    """Options of a verb whose events can be signed: --sign, --sign-days."""
    return sign_option(sign_days_option(command))


def reads(command: Command) -> Command:
    """Options of a verb that prints data: --home, --json."""
    return home_option(json_option(command))


class Recorded(TypedDict):
    """What every change tells the log, as arguments of the Python API."""

    reason: str | None
    actor: str | None
    dry_run: bool


@dataclass(frozen=True)
class Change:
    """How a change was asked for: of which workspace, by whom and why, and whether it is only to be described."""

    home: Path | None
    as_json: bool
    reason: str | None
    actor: str | None
    dry_run: bool

    @property
    def recorded(self) -> Recorded:
        """What the Python API is told of it."""
        return {"reason": self.reason, "actor": self.actor, "dry_run": self.dry_run}


def changes(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a verb that changes a workspace, as one `change`: --reason, --actor, --dry-run, --home, --json."""

    @functools.wraps(command)
    def asked(
        *, home: Path | None, as_json: bool, reason: str | None, actor: str | None, dry_run: bool, **options: Any
    ) -> None:
        command(change=Change(home, as_json, reason, actor, dry_run), **options)

    return reason_option(actor_option(dry_run_option(reads(asked))))


def _moment(_ctx: click.Context, _param: click.Parameter, words: str | None) -> datetime | None:
    """`--valid-at` as an aware moment; the parser is loaded where the option is used."""
    if words is None:
        return None
    from editlog.position import parse_moment

    return parse_moment(words)


as_of_option = click.option(
    "--as-of",
    metavar="WHEN",
    help="What the log said then: an event's number, a job, or a moment in UTC [default: now].",
)
valid_at_option = click.option(
    "--valid-at", metavar="MOMENT", callback=_moment, help="What held in the world then, in UTC [default: now]."
)


def at_options(command: Command) -> Command:
    """Options of a verb that looks back: --as-of for what the log said, --valid-at for what held in the world."""
    return as_of_option(valid_at_option(command))


def workspace(home: Path | None) -> Workspace:
    """Open the workspace that `--home`, LIFELONG_HOME or the current directory names."""
    import lifelong

    return lifelong.open(home)


def log_format(opened: Workspace) -> Literal["text", "json"]:
    """How this command speaks on stderr: as `--log-format` says, else as the configuration does."""
    return click.get_current_context().find_root().params.get("log_format") or opened.config.log_format


def emit(data: Any, as_json: bool, text: str | Callable[[], str]) -> None:
    """Print `data` as one JSON value, or else its text (a callable is only called where it is shown)."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        shown = text() if callable(text) else text
        if shown:
            click.echo(shown)


def lines_of(arguments: tuple[str, ...]) -> list[str]:
    """The arguments, with `-` standing for the non-empty lines of standard input."""
    lines: list[str] = []
    for argument in arguments:
        if argument == "-":
            lines += [line for line in sys.stdin.read().splitlines() if line.strip()]
        else:
            lines.append(argument)
    return lines
