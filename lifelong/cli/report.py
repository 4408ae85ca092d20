"""report: what became of a workspace since a moment or a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import emit, reads, workspace

if TYPE_CHECKING:
    from lifelong.reports.period import Period


@click.command()
@click.option("--since", required=True, metavar="WHEN", help="A moment in UTC, an event's number, or a job (with it).")
@click.option("--until", metavar="WHEN", help="The end, said the same way [default: now].")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained HTML page there.")
@reads
def report(since: str, until: str | None, *, out: Path | None, as_json: bool, home: Path | None) -> None:
    """Tell what changed since a moment or a job.

    What changed with before and after, what was held or failed and why, the audits, growth and cost. Every job also
    leaves a page of its own, `runs/<job>/report.html`. Pages load nothing from anywhere.

    \b
    Examples:
      lifelong report --since 2026-11-20
      lifelong report --since job-3 --out week.html
    """
    opened = workspace(home)
    found = opened.report(since, until=until, out=out)
    emit(found.to_dict(), as_json, lambda: _text(found))
    if out:
        click.echo(f"Wrote {out}.", err=True)


def _text(found: Period) -> str:
    from lifelong.reports.page import BASE

    head = {
        "from": f"{text.when(found.from_at)} UTC, event {found.from_seq:,}",
        "to": f"{text.when(found.to_at)} UTC, event {found.to_seq:,}",
        "facts": found.facts,
        "cost": f"{text.span(found.cost['seconds'] or 0.0)}, {text.size(int(found.cost['bytes'] or 0))}",
    }
    parts = [text.pairs(head)]
    columns = (
        "job",
        "ended",
        "planned",
        "applied",
        "failed",
        "held",
        "reliability",
        "locality",
        "retention",
        "seconds",
    )
    changed = [{**one, "was": one["was"] or BASE, "is_now": one["is_now"] or BASE} for one in found.changes]
    for name, rows, shown in (
        ("jobs", found.jobs, columns),
        ("changed", changed, ("prompt", "was", "is_now", "fact", "by")),
        ("failed or held", found.refused, ("fact", "job", "outcome", "why", "prompt", "answer")),
        ("not admitted", found.not_admitted, ("fact", "code", "reason")),
    ):
        if rows:
            parts.append(f"[{name}]\n{text.table(rows, shown)}")
    return "\n\n".join(parts)
