"""log query: an auditor's own questions, in SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.output import Output, writes_rows
from lifelong.cli.shell import at_options, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime


@click.command()
@click.argument("sql", metavar="SQL")
@click.option(
    "--rows", type=click.IntRange(min=1), default=10_000, show_default=True, help="At most N rows; more are cut off."
)
@writes_rows
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
    out = Output.asked(form, output, as_json=as_json)
    asked = sys.stdin.read() if sql == "-" else sql
    found = workspace(home).query(asked, as_of=as_of, valid_at=valid_at, rows=rows)
    data = found.to_dicts()
    out.write(data, rows=data, table=found.table, text=lambda: text.table(data, tuple(data[0]) if data else ()))
    if found.cut:
        said = f"There are more than {text.count(rows, 'row')}: these are the first; ask for more with --rows."
        click.echo(said, err=True)
