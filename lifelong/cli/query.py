"""log query: an auditor's own questions, in SQL."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import at_options, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from editlog.query import QueryResult

FORMATS = ("table", "json", "csv", "parquet")


@click.command()
@click.argument("sql", metavar="SQL")
@click.option("--format", "form", type=click.Choice(FORMATS), help="How the rows are written [default: table].")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to standard output."
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=10_000, show_default=True, help="At most N rows; more are cut off."
)
@at_options
@reads
def query(
    sql: str,
    *,
    form: str | None,
    output: Path | None,
    rows: int,
    as_of: str | None,
    valid_at: datetime | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Ask the log in SQL.

    One SELECT, WITH, DESCRIBE or EXPLAIN over the views of docs/QUERIES.md: facts, events, jobs, outcomes, answers,
    experts and more. It runs apart, on a copy, and can reach no file, network or setting; it is stopped after 5 seconds
    or where it needs more than 512 MiB. `-` reads the query from standard input.

    \b
    Examples:
      lifelong log query "SELECT actor, count(*) AS facts FROM facts GROUP BY actor ORDER BY facts DESC"
      lifelong log query "FROM answers" --as-of 2026-11-01 --format parquet --output answers.parquet
    """
    chosen = form or ("json" if as_json else "table")
    if as_json and chosen != "json":
        raise click.UsageError(f"--json and --format {chosen} ask for two forms.")
    if chosen == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: name a file with --output.")
    asked = sys.stdin.read() if sql == "-" else sql
    found = workspace(home).query(asked, as_of=as_of, valid_at=valid_at, rows=rows)
    _write(found, chosen, output)
    if found.cut:
        said = f"There are more than {text.count(rows, 'row')}: these are the first; ask for more with --rows."
        click.echo(said, err=True)


def _write(found: QueryResult, form: str, output: Path | None) -> None:
    if form in ("csv", "parquet"):
        content = _csv(found) if form == "csv" else _parquet(found)
        if output is None:
            sys.stdout.buffer.write(content)
        else:
            output.write_bytes(content)
        return
    data = found.to_dicts()
    shown = text.table(data, tuple(data[0]) if data else ()) if form == "table" else None
    if output is None:
        emit(data, form == "json", shown or "")
    else:
        output.write_text(f"{shown or json.dumps(data, ensure_ascii=False, indent=2)}\n", encoding="utf-8")


def _csv(found: QueryResult) -> bytes:
    """RFC 4180 with a header; lists and structs as JSON, moments as RFC 3339, nothing for NULL."""
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(found.table.column_names)
    for row in found.to_dicts():
        writer.writerow(
            json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
            for value in row.values()
        )
    return written.getvalue().encode()


def _parquet(found: QueryResult) -> bytes:
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(found.table, written, compression="zstd")
    return written.getvalue()
