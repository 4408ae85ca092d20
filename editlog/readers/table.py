"""CSV and TSV with a header, compressed or not, to records.

A cell that is an array or an object of JSON is read as one, but in columns that hold text by their name; an empty cell
is left out. Memory is flat, and a line longer than a record may be ends the reading, since with a quotation mark left
open it would be the whole file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from editlog.compressed import FAILURES, plain_suffix, unpacked
from editlog.errors import LifelongError
from editlog.lines import HashingStream, open_path
from editlog.parsing import MAX_RECORD
from editlog.readers.rows import Row, RowRecords
from editlog.rejects import BadRecordError, Code
from editlog.texts import WORDS

TEXT_COLUMNS = frozenset(WORDS) | {"valid_from", "valid_to", "target_new", "src", "alt", "question", "object"}
_BLOCK = 1024 * 1024


class CsvRecords(RowRecords):
    """The rows of one CSV or TSV file; see `open_records` for what is raised."""

    def __init__(self, path: str | Path, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self._path = str(path)
        self._delimiter = "\t" if plain_suffix(self._path) == ".tsv" else ","
        self._file = open_path(path)
        self._input = HashingStream(self._file)

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the file as it lies there; None until it was read to its end."""
        return self._input.sha256

    def __iter__(self) -> Iterator[Any]:
        buffered = io.BufferedReader(self._input, _BLOCK)
        self._stream = unpacked(buffered, self._path)
        with self._file:
            try:
                yield from super().__iter__()
                while buffered.read(_BLOCK):
                    """Behind the limit: hashed, so that the hash names the whole file."""
            except FAILURES as error:
                raise LifelongError(f"cannot read {self._path} to its end: {error}") from error

    def _rows(self) -> Iterator[Row]:
        csv.field_size_limit(MAX_RECORD)
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        header = self._header(next(reader, []))
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, BadRecordError(Code.BAD_FIELD, f"not a row of CSV: {error}"))
                continue
            if len(cells) == len(header):
                yield Row(number, {name: _cell(name, cell) for name, cell in zip(header, cells, strict=True)})
            elif cells:
                reason = f"it has {len(cells)} cells where the header names {len(header)}"
                yield Row(number, BadRecordError(Code.BAD_FIELD, reason))

    def _lines(self) -> Iterator[str]:
        first = True
        while line := self._stream.readline(MAX_RECORD + 2):
            if len(line) > MAX_RECORD + 1:
                raise LifelongError(f"{self._path} has a line of more than {MAX_RECORD} bytes; is it CSV?")
            text = line.decode("utf-8", errors="surrogateescape")
            yield text.removeprefix("\ufeff") if first else text
            first = False

    def _header(self, names: Sequence[str]) -> list[str]:
        header = [name.strip() for name in names]
        if not header or not all(header) or len(set(header)) != len(header):
            raise LifelongError(f"the first line of {self._path} must name each column once; it is {names!r:.200}")
        return header


def _cell(name: str, cell: str) -> Any:
    if not cell.strip():
        return None
    if name in TEXT_COLUMNS or cell.lstrip()[0] not in "[{":
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
