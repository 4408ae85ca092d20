"""eval: measure the published edits on a file of facts with probes."""

from __future__ import annotations

from pathlib import Path

import click

from lifelong.cli.shell import emit, reads, source_argument, workspace

NOTHING_SERVED = (
    "No fact is served, so nothing was measured: bring facts in with `lifelong ingest`, then `lifelong run`."
)


@click.command("eval")
@source_argument(required=False)
@click.option("--live", is_flag=True, help="Score every fact that is served instead of a file.")
@click.option("--limit", type=click.IntRange(min=1), help="Score only the first N records.")
@reads
def evaluate(source: str | None, live: bool, limit: int | None, as_json: bool, home: Path | None) -> None:
    """Measure the edits on a file's own probes, or on all live facts.

    SOURCE is whatever `ingest` takes: a file, a folder, `-`, or a data set.
    Reliability, generality, locality, portability, and how well the router does. Nothing is learned.

    Exit code 0 once measured, whatever the figures are.

    \b
    Examples:
      lifelong eval counterfact.json --limit 1000 --json
      lifelong eval --live
    """
    if live == (source is not None):
        raise click.UsageError("Name either a file or --live.")
    opened = workspace(home)
    from lifelong.cli.progress import progress_bar
    from lifelong.evaluation.table import format_table

    with progress_bar() as progress:
        metrics = opened.evaluate(source, limit=limit, progress=progress)
    emit(metrics.to_dict(), as_json, lambda: NOTHING_SERVED if live and not metrics.edits else format_table(metrics))
