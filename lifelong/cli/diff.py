"""log diff: what changed between two positions of the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifelong.cli import text
from lifelong.cli.output import Output, writes_rows
from lifelong.cli.shell import reads, valid_at_option, workspace

if TYPE_CHECKING:
    from datetime import datetime

SHOWN = 20
COLUMNS = {
    "added": ("fact", "recorded_at", "actor", "prompt", "target", "status"),
    "superseded": ("fact", "recorded_at", "actor", "prompt", "was", "is_now", "superseded_by"),
    "retracted": ("fact", "recorded_at", "actor", "reason", "prompt", "target"),
    "redacted": ("fact", "recorded_at", "actor", "reason"),
    "outcomes": ("fact", "job", "outcome", "prompt", "target", "why"),
    "jobs": ("job", "actor", "ended", "planned", "applied", "failed", "held"),
    "answers": ("prompt", "was", "is_now", "fact", "by"),
}


@click.command()
@click.option("--from", "first", required=True, metavar="WHEN", help="From this event, job's end or moment in UTC on.")
@click.option("--to", "last", metavar="WHEN", help="Up to this event, job's end or moment in UTC [default: now].")
@writes_rows
@valid_at_option
@reads
def diff(
    *,
    first: str,
    last: str | None,
    form: str | None,
    output: Path | None,
    valid_at: datetime | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Show what changed between two positions of the log.

    Facts added, superseded, retracted and redacted, what jobs made of them, and which answers changed. The answers are
    those of each position's own moment in the world, unless --valid-at names one for both. In CSV and Parquet each
    change is one row, named in the column `change`.

    \b
    Examples:
      lifelong log diff --from 2026-11-01 --to 2026-11-08
      lifelong log diff --from job-2 --json
      lifelong log diff --from 2026-11-01 --format parquet --output november.parquet
    """
    out = Output.asked(form, output, as_json=as_json)
    changed = workspace(home).diff(first, last, valid_at=valid_at)
    found = changed.to_dict()
    out.write(found, rows=changed.rows(), text=lambda: _shown(found))


def _shown(found: dict[str, Any]) -> str:
    span = f"from event {found['from_seq']} ({text.when(found['from_at'])}) to {found['to_seq']}"
    parts = [f"{span} ({text.when(found['to_at'])}): {', '.join(f'{name} {len(found[name])}' for name in COLUMNS)}"]
    for name, columns in COLUMNS.items():
        rows = [_brief(row) for row in found[name][:SHOWN]]
        if rows:
            more = len(found[name]) - len(rows)
            rest = f"\n... and {more:,} more: see --json" if more else ""
            parts.append(f"[{name}]\n{text.table(rows, columns)}{rest}")
    return "\n\n".join(parts)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: moments to the second, and a cause in a few words."""
    shown = dict(row)
    if shown.get("recorded_at"):
        shown["recorded_at"] = text.when(shown["recorded_at"])
    if "by" in shown:
        cause = shown["by"]
        shown["by"] = f"{cause['kind']} {cause['seq']} by {cause['actor']}" if cause else "its time in the world"
    return shown
