"""rebase: the whole log replayed onto another base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import PartlyDone
from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, log_format, workspace

if TYPE_CHECKING:
    from lifelong.jobs.rebasing import Rebased


@click.command()
@click.option("--model", required=True, help="The new base: `embedded`, a folder, or a hub id.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The new workspace.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training.")
@changes
def rebase(*, model: str, out: Path, seed: int, change: Change) -> None:
    """Replay the log onto another base, in a new workspace.

    Facts that the new base answers rightly by itself are skipped; the others are trained, audited and published
    beside this workspace, which stays as it is. The same command goes on where one was killed. rebase.html in the new
    workspace compares the two. Who is told and trusted is not carried over: copy it in lifelong.toml yourself.

    \b
    Example:
      lifelong rebase --model ./newer-base --out rebased
    """
    from lifelong.cli.progress import progress_bar

    opened = workspace(change.home)
    with progress_bar(log_format(opened)) as progress:
        done = opened.rebase(out, model=model, seed=seed, **change.recorded, progress=progress)
    emit(done.to_dict(), change.as_json, lambda: _text(done))
    unserved = sum(count for name, count in done.counts.items() if name not in ("applied", "known"))
    if unserved and not change.dry_run:
        raise PartlyDone(f"{text.count(unserved, 'fact')} could not be brought over; {done.page} says why")


def _text(done: Rebased) -> str:
    shown = {
        "from": f"event {done.head:,} of {done.old['model']}",
        "to": f"{done.model} at {done.out}",
        "facts": done.counts,
        "left out": done.left_out,
        "old": done.old,
        "new": done.new,
        "page": done.page,
        "dry_run": done.dry_run,
    }
    return text.outcome(shown)
