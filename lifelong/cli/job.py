"""ingest, plan, run: the way of a fact into the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import PartlyDone
from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, log_format, reads, signs, source_argument, workspace

if TYPE_CHECKING:
    from lifelong.jobs.report import JobReport
    from lifelong.results import Plan


@click.command()
@source_argument(required=True)
@click.option("--limit", type=click.IntRange(min=0), help="Take only the first N records.")
@click.option("--source", "source_name", help="Name the source, for records that do not name theirs.")
@click.option("--author", help="Name the author, for records that do not name theirs.")
@click.option("--reassert", is_flag=True, help="Let facts that were superseded govern again.")
@click.option("--spool", is_flag=True, help="Where the log is held, keep the facts for the next writer to take in.")
@signs
@changes
def ingest(
    source: str,
    *,
    limit: int | None,
    source_name: str | None,
    author: str | None,
    reassert: bool,
    spool: bool,
    sign: Path | None,
    sign_days: float | None,
    change: Change,
) -> None:
    """Append the facts of a file to the log.

    SOURCE is a file of JSON lines, a JSON array, CSV, TSV or Parquet (also .gz, .bz2, .xz, .zst), a folder of these,
    `-` for JSON on standard input, or `datasets:NAME[:SPLIT[:CONFIG]]`.
    Reads lifelong's own records and those of CounterFact, zsRE, KnowEdit, WikiBigEdit, HalluEditBench and
    ROME. What cannot be read goes to a rejects file, with its line and the reason; the good lines go in, and
    the exit code is 3. With --spool, a log that is held is no failure: the facts are kept, durably, in its
    inbox, and the next ingest or run takes them in.

    \b
    Examples:
      lifelong ingest facts.jsonl --author "Ada L." --reason "corrections of May"
      grep Paris facts.jsonl | lifelong ingest - --json
    """
    from lifelong.cli.progress import progress_bar

    with progress_bar(patience=2.0) as progress:
        receipt = workspace(change.home).ingest(
            source,
            limit=limit,
            source_name=source_name,
            author=author,
            reassert=reassert,
            spool=spool,
            sign=sign,
            sign_days=sign_days,
            progress=progress,
            **change.recorded,
        )
    emit(receipt.to_dict(), change.as_json, lambda: text.outcome(receipt.to_dict()))
    if receipt.spooled:
        said = f"The log is held: spooled as {receipt.spooled}. It is safe, but not yet in the log; the next writer"
        click.echo(f"{said} (`ingest`, `run`) takes it in.", err=True)
    if receipt.rejected:
        where = f"; {receipt.rejects_file} says why" if receipt.rejects_file else ""
        raise PartlyDone(f"{text.count(receipt.rejected, 'record')} could not be read{where}")


@click.command()
@reads
def plan(as_json: bool, home: Path | None) -> None:
    """Show what the next job would do, and why.

    \b
    Example:
      lifelong plan
    """
    found = workspace(home).plan()
    emit(found.to_dict(), as_json, lambda: _plan_text(found))


def _plan_text(found: Plan) -> str:
    parts = (("held", found.held), ("noticed", found.findings))
    held = "\n".join(f"[{name}]\n" + text.table(rows, ("fact", "code", "reason")) for name, rows in parts if rows)
    if not found.pending:
        return held or "Nothing is pending."
    job = f" (it finishes {found.resumes})" if found.resumes else ""
    head = text.pairs(
        {
            "pending": f"{text.count(found.pending, 'fact')}{job}",
            "mini-batches": f"{found.mini_batches:,} in {text.count(found.waves, 'wave')}",
            "experts": found.experts,
            "estimated": text.span(found.estimated_seconds),
        }
    )
    return "\n".join([head, "", *(f"- {reason}" for reason in found.why), *(["", held] if held else [])])


@click.command()
@click.option("--seed", type=int, help="Seed of the training [default: 0].")
@click.option("--executor", type=click.Choice(["local", "ray"]), help="Where waves train [default: lifelong.toml's].")
@click.option("--if-ready", is_flag=True, help="Begin no job before [ready] in lifelong.toml says that one is due.")
@changes
def run(*, seed: int | None, executor: str | None, if_ready: bool, change: Change) -> None:
    """Apply what is pending: train, audit, publish.

    Exit code 3 if some facts failed or were held, 4 if the audit stopped the job and nothing was published.

    \b
    Example:
      lifelong run --reason "the nightly job"
    """
    from lifelong.cli.progress import progress_bar

    opened = workspace(change.home)
    with progress_bar(log_format(opened)) as progress:
        report = opened.run(
            seed=seed,
            executor=executor,
            if_ready=if_ready,
            **change.recorded,
            progress=progress,
        )
    emit(report.to_dict(), change.as_json, lambda: report_text(report))
    raise SystemExit(report.exit_code)


def report_text(report: JobReport) -> str:
    """A job's outcome, the audit's figures, and each fact that failed or is held with the reason."""
    if report.status == "nothing-pending":
        return f"Nothing to apply; {report.why} (`lifelong plan` says why)." if report.why else "Nothing is pending."
    if report.status == "not-ready":
        return f"Not ready: {report.why}."
    if report.status == "dry-run":
        return f"Would apply {text.count(report.metrics.edits, 'pending fact')}; `lifelong plan` says how."
    counts = report.metrics.counts
    figures = {
        "job": f"{report.job}: {report.status}{', resumed' if report.resumed else ''}",
        "applied": f"{text.count(len(report.applied), 'fact')} in {text.span(report.seconds)}",
        "failed": len(report.failed),
        "held": len(report.held),
        **({"not admitted": f"{len(report.not_admitted):,} (`lifelong plan` says why)"} if report.not_admitted else {}),
        **({"left for the next job": f"{report.left:,} ({report.why})"} if report.left else {}),
        "prompts answered": f"{text.cell(report.metrics.reliability.exact)} (generated exact match)",
        "learned rephrases": _of(counts, "learned_rephrases_right", "learned_rephrases"),
        "near misses as base": _of(counts, "near_misses_as_base", "near_misses"),
        "older edits": _of(counts, "older_edits_right", "older_edits"),
        "peak memory": text.size(int((report.metrics.peak_mb or 0) * 1e6)),
    }
    parts = [text.pairs(figures)]
    for name, rows in (("failed", report.failed), ("held", report.held)):
        if rows:
            parts.append(f"[{name}]\n" + text.table(rows, ("fact", "code", "reason", "wording", "answer")))
    if report.findings:
        parts.append("[noticed]\n" + text.table(report.findings, ("fact", "code", "reason")))
    return "\n\n".join(parts)


def _of(counts: dict[str, int], good: str, measured: str) -> str:
    return f"{counts[good]:,} of {counts[measured]:,}" if counts[measured] else "none to measure"
