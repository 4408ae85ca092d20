"""Segments: a run of events, and the words of the facts among them, as two immutable Parquet files.

How a log of `seq` events is cut up follows from `seq` alone: as many segments of 50,000 events as are full, then of
2,000, then a tail of fewer. So what two refreshes have in common is found by comparing spans, an event is written
to a full segment of either size once, and a refresh writes less than 2,000 events again that it wrote before.
A file is named by what is in it: a name that is taken has the same content already.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from editlog import durable
from editlog.bodies import Hash, Seq
from editlog.canonical import HASH_TAG, sha256, tag
from editlog.errors import Busy, IntegrityError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

LARGE, SMALL = 50_000, 2_000
TABLES = ("events", "texts")

_ROW_GROUP = 10_000
_DIGITS = 16


class Span(NamedTuple):
    """The events `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many events these are."""
        return self.last - self.first + 1

    @property
    def is_large(self) -> bool:
        """Whether this is a full span of the larger size, which no later position of the log cuts up differently."""
        return self.size == LARGE


def spans(seq: int) -> list[Span]:
    """How the events 1 to `seq` are cut up, in order."""
    found, first = [], 1
    for size in (LARGE, SMALL):
        while first + size - 1 <= seq:
            found.append(Span(first, first + size - 1))
            first += size
    return [*found, Span(first, seq)] if first <= seq else found


PartName = Annotated[str, StringConstraints(pattern=r"^(events|texts)-[0-9]{1,18}-[0-9]{1,18}-[0-9a-f]{16}\.parquet$")]


class Part(BaseModel):
    """One file of a segment: its name in the replica's directory, its tagged SHA-256, its length (bytes)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PartName
    sha256: Hash
    length: Annotated[int, Field(ge=1, strict=True)]

    def read(self, directory: Path) -> bytes:
        """Its content, checked; raises Busy where it was superseded and is gone, IntegrityError where it is altered."""
        path = directory / self.name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise superseded(directory) from None
        if tag(sha256(content)) != self.sha256:
            raise IntegrityError(f"{path} is not what was written: delete {directory}, the next writer makes it anew")
        return content


class Segment(BaseModel):
    """The files of one span."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: Seq
    last: Seq
    events: Part
    texts: Part

    @property
    def span(self) -> Span:
        """The events in it."""
        return Span(self.first, self.last)

    @property
    def parts(self) -> tuple[Part, Part]:
        """Its files, in the order of TABLES."""
        return self.events, self.texts


def superseded(directory: Path) -> Busy:
    """What a reader is told who kept a replica for longer than its files are kept."""
    return Busy(f"the replica in {directory} was made anew while it was read: try again")


def read_span(con: DuckDBPyConnection, span: Span) -> tuple[pa.Table, pa.Table]:
    """The rows of the log's tables that belong to a span, in order, as they are."""
    con.complete()  # whoever read before may have left a result open
    events, texts = (
        con.sql(f"SELECT * FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq", params=list(span)).to_arrow_table()
        for table in TABLES
    )
    return events, texts


def write_segment(directory: Path, span: Span, tables: tuple[pa.Table, pa.Table]) -> Segment:
    """Write the files of a segment, durable but for their names; raises IntegrityError where an event is missing."""
    if len(tables[0]) != span.size:
        raise IntegrityError(f"the log has {len(tables[0])} of the events {span.first} to {span.last}")
    events, texts = (_write(directory, name, span, table) for name, table in zip(TABLES, tables, strict=True))
    return Segment(first=span.first, last=span.last, events=events, texts=texts)


def _write(directory: Path, table: str, span: Span, rows: pa.Table) -> Part:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", row_group_size=_ROW_GROUP)
    content = sink.getvalue()
    hashed = tag(sha256(content))
    name = f"{table}-{span.first}-{span.last}-{hashed.removeprefix(HASH_TAG)[:_DIGITS]}.parquet"
    temporary = durable.temporary_beside(directory / name)
    try:
        durable.write(temporary, content, point="replica.segment")
        durable.rename(temporary, directory / name, point="replica.segment")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Part(name=name, sha256=hashed, length=len(content))
