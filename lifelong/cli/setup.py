"""init, status, doctor: the workspace as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import IntegrityError
from lifelong.cli import text
from lifelong.cli.shell import actor_option, at_options, dry_run_option, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from lifelong.results import Check, Status


@click.command()
@click.option("--model", default="embedded", show_default=True, help="`embedded`, a folder, or a hub id.")
@click.option("--recipe", default="default", show_default=True, help="A name from `lifelong recipes list`.")
@click.option(
    "--corpus",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Text, a line each, of which a recipe learns what it must know of the base; else the base writes it.",
)
@actor_option
@dry_run_option
@reads
def init(
    *, model: str, recipe: str, corpus: Path | None, actor: str | None, dry_run: bool, as_json: bool, home: Path | None
) -> None:
    """Make a workspace.

    The first events of its log name the workspace and the base model, by fingerprint.

    \b
    Example:
      lifelong init --home my-edits
    """
    import lifelong
    from lifelong.layout import resolve_home

    place = resolve_home(home)
    lifelong.init(place, model=model, recipe=recipe, corpus=corpus, actor=actor, dry_run=dry_run)
    data = {"home": str(place), "model": model, "recipe": recipe, "dry_run": dry_run}
    emit(data, as_json, f"{'Would make' if dry_run else 'Made'} {place} (model {model}, recipe {recipe}).")


@click.command()
@click.option(
    "--prometheus",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the figures of now to this file, for node_exporter.",
)
@at_options
@reads
def status(
    *, prometheus: Path | None, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None
) -> None:
    """Show what is live, and what is pending since when.

    \b
    Example:
      lifelong status
    """
    opened = workspace(home)
    found = opened.status(as_of=as_of, valid_at=valid_at)
    if prometheus:
        opened.write_prometheus(prometheus)
    emit(found.to_dict(), as_json, lambda: _status_text(found))


def _status_text(found: Status) -> str:
    pending = found.oldest_pending_seconds
    behind = " (behind the log: `lifelong rebuild` brings it up)" if found.snapshot_behind else ""
    return text.pairs(
        {
            "workspace": found.home,
            "model": f"{found.model} ({text.short(found.base)})",
            "recipe": found.recipe,
            "log": f"at event {found.head:,}",
            "facts": found.facts,
            "held": found.held,
            "oldest pending": "nothing is pending" if pending is None else f"{text.span(pending)} ago",
            "experts": f"{found.experts:,} in {text.size(found.expert_bytes)}",
            "snapshot": f"{text.cell(text.short(found.snapshot))}{behind}",
            "last job": found.last_job,
        }
    )


@click.command()
@reads
def doctor(as_json: bool, home: Path | None) -> None:
    """Check everything from the log to the weights.

    Exit code 6 if something is not as it was written.

    \b
    Example:
      lifelong doctor
    """
    checks = workspace(home).doctor()
    emit([check.to_dict() for check in checks], as_json, lambda: "\n".join(map(_check_text, checks)))
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise IntegrityError(f"{text.count(len(wrong), 'check')} failed: {', '.join(wrong)}")


def _check_text(check: Check) -> str:
    return f"{'ok  ' if check.ok else 'BAD '}  {check.name}: {check.detail}"
