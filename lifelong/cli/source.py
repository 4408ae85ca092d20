"""source: where facts come from, and keeping a source's facts waiting."""

from __future__ import annotations

from pathlib import Path

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, as_of_option, changes, emit, reads, workspace


@click.group()
def source() -> None:
    """See where facts come from; pause a source.

    \b
    Example:
      lifelong source list
    """


@source.command("list")
@as_of_option
@reads
def list_sources(*, as_of: str | None, as_json: bool, home: Path | None) -> None:
    """List the sources that facts name, how their facts fare, and which are paused.

    \b
    Example:
      lifelong source list --json
    """
    rows = [row.to_dict() for row in workspace(home).sources(as_of=as_of)]
    shown = [{**row, "facts": ", ".join(f"{n} {status}" for status, n in sorted(row["facts"].items()))} for row in rows]
    emit(rows, as_json, lambda: text.table(shown, ("source", "facts", "paused_by", "paused_at", "reason"), widest=80))


@source.command()
@click.argument("name")
@changes
def pause(name: str, *, change: Change) -> None:
    """Let the facts of a source wait.

    They are taken in, and no job applies them before `lifelong source resume`. What is applied stays: `lifelong revert
    --source` takes that back.

    \b
    Example:
      lifelong source pause newswire --reason "the feed repeats itself"
    """
    done = workspace(change.home).pause_source(name, **change.recorded).to_dict()
    emit(done, change.as_json, lambda: text.outcome(done))


@source.command()
@click.argument("name")
@changes
def resume(name: str, *, change: Change) -> None:
    """Let jobs apply the facts of a paused source again.

    \b
    Example:
      lifelong source resume newswire --reason "the feed is mended"
    """
    done = workspace(change.home).resume_source(name, **change.recorded).to_dict()
    emit(done, change.as_json, lambda: text.outcome(done))
