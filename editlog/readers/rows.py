"""Rows of a table to records, held to the limits of JSON lines: each row is checked as the line it would be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, NamedTuple

from editlog.canonical import tag
from editlog.lines import Record
from editlog.parsing import parse
from editlog.rejects import BadRecordError, Code, Reject, reject_of


class Row(NamedTuple):
    """One row: its number from 1, and its cells by column; or, in place of the cells, what is wrong with it."""

    number: int
    cells: Mapping[str, Any] | BadRecordError


class RowRecords:
    """The records of a table; a subclass gives `_rows` and `sha256`."""

    def __init__(self, *, limit: int | None = None) -> None:
        self.converted = 0
        self._limit = limit

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the input; None until it was read to its end."""
        raise NotImplementedError

    def _rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Record | Reject]:
        for number, cells in islice(self._rows(), self._limit):
            raw = b""
            try:
                if isinstance(cells, BadRecordError):
                    raise cells
                raw = as_line(cells)
                value, converted = parse(raw)
            except BadRecordError as error:
                yield reject_of(number, raw, error)
            else:
                self.converted += converted
                yield Record(number, raw, value)


def as_line(cells: Mapping[str, Any]) -> bytes:
    """The cells that hold something, as one line of JSON; raises BadRecordError for what JSON cannot say."""
    try:
        text = json.dumps(_without_nothing(cells), ensure_ascii=False, default=_in_words)
        return text.encode("utf-8", errors="surrogateescape")  # bytes that are no UTF-8 are `parse`'s to reject
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRecordError(Code.BAD_FIELD, f"a cell holds what a fact cannot: {error}") from error


def _without_nothing(value: Any) -> Any:
    """Tables fill with nulls what a record leaves out."""
    if isinstance(value, Mapping):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_nothing(inner) for inner in value]
    return value


def _in_words(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__}")


class Digest:
    """A tagged hash of raw bytes, given once the input has come to its end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.at_end = False

    def update(self, content: bytes) -> None:
        """Add bytes."""
        self._hash.update(content)

    @property
    def tagged(self) -> str | None:
        """The hash, None before the end."""
        return tag(self._hash.digest()) if self.at_end else None
