"""How rows leave the command line: a table for people, JSON, CSV or Parquet; on standard output or in a file.

In CSV (RFC 4180, with a header) moments are RFC 3339 and NULL is nothing; in CSV and Parquet alike, what is nested in a
row of plain data is JSON text.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import pyarrow as pa

Command = TypeVar("Command", bound=Callable[..., Any])
Row = Mapping[str, Any]

FORMATS = ("table", "json", "csv", "parquet")


def writes_rows(command: Command) -> Command:
    """Options of a verb that prints rows, beside --json: --format (`form`), --output."""
    form = click.option("--format", "form", type=click.Choice(FORMATS), help="How rows are written [default: table].")
    output = click.option(
        "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to standard output."
    )
    return form(output(command))


@dataclass(frozen=True)
class Output:
    """A form for rows, and the file that they go to; None: standard output."""

    form: str
    file: Path | None

    @classmethod
    def asked(cls, form: str | None, file: Path | None, *, as_json: bool) -> Output:
        """What a user's options ask for; raises click.UsageError where they do not go together."""
        chosen = form or ("json" if as_json else "table")
        if as_json and chosen != "json":
            raise click.UsageError(f"--json and --format {chosen} ask for two forms.")
        if chosen == "parquet" and file is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for a terminal: name a file with --output.")
        return cls(chosen, file)

    def write(self, data: Any, *, rows: Sequence[Row], table: pa.Table | None = None, text: Callable[[], str]) -> None:
        """Write in the form asked for: `data` as JSON, `rows` as CSV and Parquet, `text` for people.

        `table` is what Parquet gets instead of the rows, where there is one with types of its own.
        """
        match self.form:
            case "json":
                self._put(_line(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False)))
            case "csv":
                self._put(_csv(rows, None if table is None else table.column_names))
            case "parquet":
                self._put(_parquet(_arrow(rows) if table is None else table))
            case _:
                shown = text()
                self._put(_line(shown) if shown else b"")

    def _put(self, content: bytes) -> None:
        if self.file is None:
            click.echo(content, nl=False)
        else:
            self.file.write_bytes(content)


def _line(text: str) -> bytes:
    return f"{text}\n".encode()


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _flat(value: Any) -> Any:
    """A value that has no parts; dictionaries and lists as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _csv(rows: Sequence[Row], header: Sequence[str] | None) -> bytes:
    names = _columns(rows)
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(names if header is None else header)
    writer.writerows([_flat(row.get(name)) for name in names] for row in rows)
    return written.getvalue().encode()


def _arrow(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: [_flat(row.get(name)) for row in rows] for name in _columns(rows)})


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()
