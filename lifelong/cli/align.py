"""align: what a recipe learns once for all facts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, workspace

if TYPE_CHECKING:
    from lifelong.verbs.aligning import Aligned


@click.command()
@click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Facts (JSON lines) or texts, one a line [default: the workspace's, else what the base writes].",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training.")
@changes
def align(*, corpus: Path | None, seed: int, change: Change) -> None:
    """Align the base to obey notes, for a recipe that reads them (lte).

    It is learned once for the base, as an expert that acts wherever a note is read; the base itself stays as it is. A
    job does the same before its first fact where it is not done. Killed, the same command goes on behind the last
    finished round.

    \b
    Example:
      lifelong align --corpus facts.jsonl --reason "the notes' first reader"
    """
    from lifelong.cli.progress import progress_bar

    with progress_bar(patience=2.0) as progress:
        done = workspace(change.home).align(corpus, seed=seed, progress=progress, **change.recorded)
    emit(done.to_dict(), change.as_json, lambda: _told(done))


def _told(done: Aligned) -> str:
    shown = {
        "expert": text.short(done.expert),
        "pack": done.pack,
        "made": done.made,
        "snapshot": done.snapshot,
        "dry_run": done.dry_run,
    }
    return text.outcome(shown)
