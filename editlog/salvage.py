"""What can still be had of a damaged log: events and words from several sources, believed as far as they verify.

An event is taken where its content and the hash of the event in front of it give the hash stored with it, so a
source can be as damaged, or as hostile, as it likes. The words of a fact are taken where they are the ones its event
committed to. Sources are asked in order, a window of events at a time: memory stays flat.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from duckdb import DuckDBPyConnection

from editlog.bodies import MAX_BODY
from editlog.canonical import canonical_json, commitment, untag
from editlog.errors import LifelongError
from editlog.events import GENESIS, Stamp, encode, link, moment
from editlog.history import EVENT_COLUMNS
from editlog.replica import Replica
from editlog.session import connected
from editlog.texts import COLUMNS, naive, record_of_row

WINDOW = 8192
_MAX_LINE = MAX_BODY + 2**20


class Row(NamedTuple):
    """An event as the database holds it; nothing of it is believed before `follows` says so."""

    seq: int
    recorded_at: datetime
    kind: str
    actor: str
    reason: str | None
    job: str | None
    body: str
    hash: bytes

    def follows(self, previous: bytes) -> bool:
        """Whether this event, behind one with the hash `previous`, has the hash stored with it."""
        try:
            stamp = Stamp(self.recorded_at, self.actor, self.reason, self.job)
            body = canonical_json(json.loads(self.body))
            same = body == self.body.encode()
            return same and link(previous, encode(self.seq, self.kind, stamp, body)) == self.hash
        except (LifelongError, ValueError, TypeError, AttributeError, RecursionError):
            return False


class Words(NamedTuple):
    """A fact's record and the secret of its commitment."""

    record: dict[str, Any]
    secret: bytes

    def are_of(self, put: Row) -> bool:
        """Whether these are the words that a fact.put event committed to."""
        try:
            committed: object = json.loads(put.body)["commitment"]
            return committed == commitment(self.secret, canonical_json(self.record))
        except (ValueError, TypeError, KeyError):
            return False


class Source(Protocol):
    """Somewhere that events and words may be found; both may be wrong, missing or of another log."""

    name: str

    def events(self, first: int, last: int) -> Mapping[int, Row]:
        """What it has of the events `first` to `last`; called with rising windows."""

    def words(self, first: int, last: int) -> Mapping[int, Words]:
        """What it has of the words of the facts `first` to `last`; called with rising windows."""


class Database:
    """The log's own database, or another that has its tables: what of it can be read."""

    def __init__(self, path: Path, name: str = "database") -> None:
        self.name, self._path = name, path

    def events(self, first: int, last: int) -> dict[int, Row]:
        """The events of a window; nothing where a part of the file that they lie in cannot be read."""
        rows = self._rows(f"SELECT {EVENT_COLUMNS} FROM events WHERE seq BETWEEN ? AND ?", first, last)
        return {row[0]: Row(*row) for row in rows}

    def words(self, first: int, last: int) -> dict[int, Words]:
        """The words of a window, likewise."""
        query = f"SELECT seq, secret, probes, {', '.join(COLUMNS)} FROM texts WHERE seq BETWEEN ? AND ?"
        found = {}
        for seq, secret, probes, *words in self._rows(query, first, last):
            try:
                found[seq] = Words(record_of_row(words, probes), secret)
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue
        return found

    def _rows(self, query: str, first: int, last: int) -> list[tuple[Any, ...]]:
        try:
            with self._opened() as con:
                return con.execute(query, [first, last]).fetchall()
        except LifelongError:
            return []

    def _opened(self) -> AbstractContextManager[DuckDBPyConnection]:
        return connected(self._path, read_only=True)


class ReplicaTables(Database):
    """The readers' replica: everything up to its last refresh, as far as it can be read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "replica")
        self._replica: Replica | None = None

    @contextmanager
    def _opened(self) -> Iterator[DuckDBPyConnection]:
        self._replica = self._replica or Replica.open(self._path)
        with self._replica.visit() as (con, _):
            yield con


class Export:
    """A file that `log export` wrote; with texts, it brings the words back as well."""

    name = "export"

    def __init__(self, path: Path) -> None:
        self._events, self._words = _Lines(path), _Lines(path)

    def events(self, first: int, last: int) -> dict[int, Row]:
        """The events of a window."""
        found = {}
        for seq, line in self._events.window(first, last):
            try:
                found[seq] = _row_of(line)
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def words(self, first: int, last: int) -> dict[int, Words]:
        """The words of a window; none where the export was made without texts."""
        found = {}
        for seq, line in self._words.window(first, last):
            try:
                found[seq] = Words(line["record"], bytes.fromhex(line["secret"]))
            except (ValueError, TypeError, KeyError):
                continue
        return found


class _Lines:
    """The lines of an export by rising windows of seq; a line that cannot be read is passed over."""

    def __init__(self, path: Path) -> None:
        self._lines = self._read(path)
        self._ahead: tuple[int, dict[str, Any]] | None = None

    def window(self, first: int, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The lines with seq `first` to `last`; the first one behind them is kept for the next window."""
        while (item := self._ahead or next(self._lines, None)) is not None:
            self._ahead = None
            if item[0] > last:
                self._ahead = item
                return
            if item[0] >= first:
                yield item

    @staticmethod
    def _read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        with path.open("rb") as file:
            while raw := file.readline(_MAX_LINE):
                try:
                    line = json.loads(raw)
                    seq = line["event"]["seq"]
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue
                if type(seq) is int:
                    yield seq, line


def _row_of(line: dict[str, Any]) -> Row:
    """The row behind a line of an export; raises where the line is not exactly what such a row is exported as."""
    event = line["event"]
    at = datetime.fromisoformat(event["at"])
    body = canonical_json(event["body"])
    row = Row(
        seq=event["seq"],
        recorded_at=naive(at),
        kind=event["kind"],
        actor=event["actor"],
        reason=event["reason"],
        job=event["job"],
        body=body.decode(),
        hash=untag(line["hash"]),
    )
    if moment(row.recorded_at) != event["at"] or (event["v"], len(event)) != (1, 8):
        raise ValueError("not an event of this version")
    return row


@dataclass
class Salvage:
    """The longest chain that the sources give together, and how much of it each has brought.

    `workspace` is whose log it must be, where HEAD still says so: the chain of another log verifies as well.
    """

    sources: Sequence[Source]
    workspace: str | None = None
    tail: bytes = GENESIS
    kept: int = 0
    last_moment: datetime | None = None
    redacted: set[int] = field(default_factory=set)
    excused: set[int] = field(default_factory=set)
    brought: Counter[str] = field(default_factory=Counter)

    def chain(self) -> Iterator[list[Row]]:
        """The events from the first on, a window at a time, until no source has the next one."""
        while True:
            first = self.kept + 1
            found = [(source.name, source.events(first, first + WINDOW - 1)) for source in self.sources]
            rows = list(self._walk(first, found))
            if rows:
                yield rows
            if len(rows) < WINDOW:
                return

    def _walk(self, first: int, found: Sequence[tuple[str, Mapping[int, Row]]]) -> Iterator[Row]:
        for seq in range(first, first + WINDOW):
            for name, rows in found:
                row = rows.get(seq)
                if row is not None and row.follows(self.tail) and self._is_ours(row):
                    self._take(name, row)
                    yield row
                    break
            else:
                return

    def _is_ours(self, row: Row) -> bool:
        return row.seq > 1 or self.workspace in (None, json.loads(row.body).get("workspace"))

    def _take(self, name: str, row: Row) -> None:
        self.tail, self.kept, self.last_moment = row.hash, row.seq, row.recorded_at
        self.brought[name] += 1
        if row.kind == "fact.redacted":
            self.redacted.add(json.loads(row.body)["fact"])
        elif row.kind == "log.recovered":
            self.excused.update(json.loads(row.body)["lost_texts"])

    def words_of(self, puts: Sequence[Row]) -> Iterator[tuple[Row, Words | None]]:
        """Each fact.put event with the words it committed to; None where no source has them.

        Facts that a later event redacts are passed over: an old export must not bring back what was erased.
        """
        live = [put for put in puts if put.seq not in self.redacted]
        if not live:
            return
        found = [source.words(live[0].seq, live[-1].seq) for source in self.sources]
        for put in live:
            candidates: Iterable[Words | None] = (words.get(put.seq) for words in found)
            yield put, next((words for words in candidates if words is not None and words.are_of(put)), None)
