"""One file, by the end of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from editlog.compressed import plain_suffix
from editlog.lines import JsonRecords, Record
from editlog.readers.parquet import ParquetRecords
from editlog.readers.table import CsvRecords
from editlog.rejects import Reject


class Records(Protocol):
    """The records of one input, once over: a `Record` for each good one, a `Reject` for each other."""

    converted: int
    """How many of the records so far had text that was not in NFC."""

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the input; None until it was read to its end."""
        ...

    def __iter__(self) -> Iterator[Record | Reject]: ...


READERS: dict[str, Callable[..., Records]] = {
    ".csv": CsvRecords,
    ".tsv": CsvRecords,
    ".parquet": ParquetRecords,
    ".jsonl": JsonRecords,
    ".ndjson": JsonRecords,
    ".json": JsonRecords,
}


def open_file(path: str | Path, *, limit: int | None) -> Records:
    """The records of one file; one whose name says nothing is JSON."""
    return READERS.get(plain_suffix(str(path)), JsonRecords)(path, limit=limit)
