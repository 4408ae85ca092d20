"""log recover: the way back from a damaged log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import PartlyDone
from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, workspace

if TYPE_CHECKING:
    from lifelong.results import Recovered


@click.command()
@click.option(
    "--from", "export", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of `log export`."
)
@changes
def recover(*, export: Path | None, change: Change) -> None:
    """Bring a damaged log back from what verifies.

    Asks its database, then the replica, then the file given with --from, event by event. The damaged files are kept
    under log/evidence, and what could not be brought back is told, by number, here and in the log. Packs that are
    damaged are put aside too, and the next run trains their facts again. Exit code 3 if something is lost.

    \b
    Examples:
      lifelong log recover --dry-run
      lifelong log recover --from export.jsonl --reason "the disk failed"
    """
    found = workspace(change.home).recover(export=export, **change.recorded)
    emit(found.to_dict(), change.as_json, lambda: _told(found))
    if not found.complete:
        raise PartlyDone(_lost(found))


def _told(found: Recovered) -> str:
    if not found.findings and not found.packs:
        return "The log and the packs are intact: there is nothing to recover."
    shown = {
        "damage": found.findings[0]["message"] if found.findings else "in packs only",
        "brought back": ", ".join(f"{count:,} events from {name}" for name, count in found.sources.items()) or None,
        "evidence": found.evidence,
        "packs put aside": found.packs,
        "experts to train again": found.to_train_again,
        "dry_run": found.dry_run,
    }
    return text.outcome(shown)


def _lost(found: Recovered) -> str:
    """What a recovery could not bring back, in one sentence."""
    parts = []
    if found.lost:
        parts.append(f"the events {found.lost[0]} to {found.lost[1]} are lost")
    if found.lost_texts:
        parts.append(f"the words of {text.cell(found.lost_texts)} are lost")
    if not found.end_known:
        parts.append(f"HEAD fits no longer, so nobody can say whether more than event {found.kept} was acknowledged")
    kept = "nothing was changed" if found.dry_run else f"the damaged files are in {found.evidence}"
    return f"{'; '.join(parts)}; {kept}"
