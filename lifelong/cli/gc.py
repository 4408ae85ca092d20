"""gc: let go what the retention policy does not promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, workspace

if TYPE_CHECKING:
    from lifelong.results import Collected


@click.command()
@changes
def gc(change: Change) -> None:
    """Let go what the retention policy does not promise.

    Old snapshots, the packs and editors' states that only they used, the directories of old jobs, and what a crash
    left behind, as [retention] in lifelong.toml says. Nothing that is served, or would be if a newer fact were taken
    back, goes; nor does anything of the log. It says which past `--as-of` can no longer answer.

    \b
    Example:
      lifelong gc --dry-run
    """
    found = workspace(change.home).gc(**change.recorded)
    emit(found.to_dict(), change.as_json, lambda: _told(found))


def _told(found: Collected) -> str:
    lost = [
        f"events {span['from_seq']} to {span['to_seq']} ({text.when(str(span['from_at']))} to"
        f" {text.when(str(span['to_at']))})"
        for span in found.as_of_lost
    ]
    shown = {
        "snapshots": len(found.snapshots),
        "packs": len(found.packs),
        "editors' states": len(found.states),
        "job directories": len(found.runs),
        "leftovers": found.leftovers,
        "freed": text.size(found.bytes),
        "ask --as-of no longer answers": lost or "nothing more than before",
        "dry_run": found.dry_run,
    }
    return text.outcome(shown)
