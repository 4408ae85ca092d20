"""One visit to the log: lock it, open DuckDB, check it against HEAD, read or write, close.

The only module that opens the database. A visit lasts milliseconds: DuckDB has one writing process or many
reading ones, so nobody may keep the file open while training, talking to a model or waiting for a person.
A file is looked at read-only before it is opened to write whenever a crash may have left something behind,
because opening it to write would destroy the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from editlog import durable, failpoints, head, length, schema
from editlog.canonical import tag, untag
from editlog.errors import Busy, IntegrityError, LifelongError, UsageError
from editlog.events import GENESIS, Entry, Stamp, body_of, encode, link
from editlog.head import Head
from editlog.lock import Held, locked
from editlog.texts import naive

DATABASE = "edits.duckdb"
Clock = Callable[[], datetime]

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "temp_directory": "",  # words are not written anywhere but to the log
}
_INSERT = """
    INSERT INTO events SELECT unnest($1::BIGINT[]), $2, unnest($3::VARCHAR[]), $4, $5, $6,
    unnest($7::VARCHAR[]), unnest($8::BLOB[])"""


@contextmanager
def reading(directory: Path, *, timeout: float) -> Iterator[tuple[DuckDBPyConnection, Head]]:
    """Read at one position of the log. Raises Busy, IntegrityError, or UsageError where there is no log."""
    with unchecked(directory, timeout=timeout) as con:
        position, _ = head.settle(directory, tail_of(con))
        length.check(directory, directory / DATABASE, position.seq)
        yield con, position


@contextmanager
def unchecked(directory: Path, *, timeout: float) -> Iterator[DuckDBPyConnection]:
    """Read whatever the database says, without asking HEAD: for `verify`, which names what is wrong."""
    _require(directory)
    with locked(directory, shared=True, timeout=timeout), _opened(directory, read_only=True) as con:
        yield con


@dataclass
class Writer:
    """One transaction. Events are added to the tail; `commit` makes all of them durable, or none is.

    Only who has the lock, `held`, can commit.
    """

    directory: Path
    con: DuckDBPyConnection
    head: Head
    now: datetime
    held: Held | None = None
    seq: int = field(init=False)
    tail: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.seq, self.tail = self.head.seq, untag(self.head.hash)

    def append(self, entries: Sequence[Entry], stamp: Stamp) -> None:
        """Add entries, in order; raises UsageError where one is not what its kind asks for."""
        first, bodies, hashes = self.seq + 1, [], []
        for entry in entries:
            body = body_of(entry)
            self.seq += 1
            self.tail = link(self.tail, encode(self.seq, entry.kind, stamp, body))
            bodies.append(body.decode())
            hashes.append(self.tail)
        kinds = [entry.kind for entry in entries]
        seqs = list(range(first, self.seq + 1))
        who = [stamp.actor, stamp.reason, stamp.job]
        self.con.execute(_INSERT, [seqs, naive(stamp.at), kinds, *who, bodies, hashes])

    def commit(self) -> Head:
        """Announce, commit, promote: returns once the new head is durable. Nothing added, nothing written."""
        if self.seq == self.head.seq:
            return self.head
        fence(self.directory, self.head, self.held)
        self._take_epoch()
        fresh = self.next_head()
        head.announce(self.directory, fresh)
        with durable.operation("commit", self.directory / DATABASE):
            self.con.execute("COMMIT")
        head.promote(self.directory)
        self.head = fresh
        return fresh

    def next_head(self) -> Head:
        """Where the log will stand once what was added is committed."""
        return Head(self.head.workspace, self.seq, tag(self.tail), self.head.epoch + 1)

    def _take_epoch(self) -> None:
        """The fence inside the transaction: where another wrote to this database, the epoch is gone."""
        mine = [self.head.epoch]
        taken = self.con.execute("UPDATE writer SET epoch = epoch + 1 WHERE epoch = ?", mine).fetchone()
        if taken != (1,):
            raise _overtaken(self.directory)


def fence(directory: Path, before: Head, held: Held | None) -> None:
    """Refuse a writer that slept while another took over: raises Busy unless it has the lock, and HEAD is as it was.

    DuckDB keeps what it has read, so a sleeper finds the epoch of its own past in the database; what another wrote
    shows on disk alone.
    """
    if held is None or not held.is_the_one() or head.read(directory) != before:
        raise _overtaken(directory)


@contextmanager
def writing(directory: Path, *, timeout: float, clock: Clock) -> Iterator[Writer]:
    """Write one transaction: what is not committed when the block ends is rolled back."""
    _require(directory)
    with durable.told(directory / DATABASE), locked(directory, shared=False, timeout=timeout) as held:
        heal(directory)
        before = _position(directory)
        length.check(directory, directory / DATABASE, before.seq)
        with _opened(directory, read_only=False) as con:
            tail = tail_of(con)
            if tail != (before.seq, before.hash):
                head.settle(directory, tail)  # raises where this is damage, and no other writer's doing
                raise _overtaken(directory)
            length.withdraw(directory)
            con.execute("BEGIN")
            writer = Writer(directory, con, before, max(clock(), last_moment(con)), held)
            yield writer
            failpoints.hit("close.before")
        failpoints.hit("close.after")
        length.note(directory, directory / DATABASE, writer.head.seq)


def unsettled(directory: Path) -> bool:
    """Whether a crash, or a writer at work, has left something behind."""
    leftovers = (directory / head.NEXT, directory / f"{DATABASE}.wal")
    return (directory / DATABASE).exists() and any(path.exists() for path in leftovers)


def heal(directory: Path) -> None:
    """Finish or forget what a crash interrupted; the caller holds the log alone."""
    if not unsettled(directory):
        return
    with connected(directory / DATABASE, read_only=True) as con:
        _, announced = head.settle(directory, tail_of(con))
    if announced:
        head.promote(directory)
    else:
        head.forget(directory)


def build(directory: Path, workspace: str, entry: Entry, stamp: Stamp) -> Head:
    """Make the database of a new log with its first event; the caller holds the log alone.

    It is built under another name, so that a crash leaves either no log or a whole one.
    """
    fresh = directory / f"{DATABASE}.new"
    for leftover in directory.glob(f"{fresh.name}*"):
        leftover.unlink()
    body = body_of(entry)
    chained = link(GENESIS, encode(1, entry.kind, stamp, body))
    at, who = naive(stamp.at), [stamp.actor, stamp.reason, stamp.job]
    with connected(fresh, read_only=False) as con:
        schema.create(con, at)
        con.execute("INSERT INTO writer VALUES (1)")
        con.execute(_INSERT, [[1], at, [entry.kind], *who, [body.decode()], [chained]])
    first = Head(workspace, 1, tag(chained), 1)
    head.announce(directory, first)
    durable.rename(fresh, directory / DATABASE, point="create")
    head.promote(directory)
    return first


def tail_of(con: DuckDBPyConnection) -> tuple[int, str] | None:
    """The (seq, tagged hash) of the log's last event, by scan and not by index."""
    row: Any = con.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return row and (row[0], tag(row[1]))


def _require(directory: Path) -> None:
    if (directory / DATABASE).exists():
        return
    if (directory / head.HEAD).exists():
        raise IntegrityError(f"{directory / DATABASE} is gone, its HEAD is not: restore it from a copy")
    raise UsageError(f"there is no edit log in {directory}: make one with `lifelong init`")


def _position(directory: Path) -> Head:
    position = head.read(directory)
    if position is None:
        raise IntegrityError(f"the edit log in {directory} has no HEAD: nothing was changed")
    return position


def _overtaken(directory: Path) -> Busy:
    return Busy(f"another writer has taken over the edit log in {directory}: try again")


def last_moment(con: DuckDBPyConnection) -> datetime:
    """The newest event's moment: time in the log never goes back, whatever the clock does."""
    row: Any = con.execute("SELECT recorded_at FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    moment: datetime = row[0]
    return moment.replace(tzinfo=UTC)


def in_memory(files: Sequence[Path] = ()) -> DuckDBPyConnection:
    """A database that is nowhere but in memory, and that reaches no file but these, no network, no extension."""
    config = {name: value for name, value in _SETTINGS.items() if name != "enable_external_access"}
    con = duckdb.connect(":memory:", config=config)
    if files:
        con.execute(f"SET allowed_paths = [{', '.join(literal(str(path)) for path in files)}]")
    con.execute("SET enable_external_access = false")  # the list of files can be set before this only
    return con


def literal(text: str) -> str:
    """A string as SQL writes it, for where no parameter may stand."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def connected(path: Path, *, read_only: bool) -> Iterator[DuckDBPyConnection]:
    """A connection to a database of whatever schema, its failures told in this project's words."""
    with told(path, read_only=read_only), duckdb.connect(path, read_only=read_only, config=_SETTINGS) as con:
        yield con


@contextmanager
def told(path: Path, *, read_only: bool) -> Iterator[None]:
    """Tell DuckDB's failures with the file or folder at `path` in this project's words."""
    try:
        yield
    except duckdb.Error as error:
        raise _told(error, path, read_only) from error


@contextmanager
def _opened(directory: Path, *, read_only: bool) -> Iterator[DuckDBPyConnection]:
    """A connection to the log's database, which has this program's schema; raises schema.Outdated and others."""
    with connected(directory / DATABASE, read_only=read_only) as con:
        schema.check(con)
        yield con


def _told(error: duckdb.Error, path: Path, read_only: bool) -> LifelongError:
    first = str(error).splitlines()[0]
    contended = isinstance(error, (duckdb.ConnectionException, duckdb.TransactionException))
    if contended or "Could not set lock" in first:
        return Busy(f"{path} is open in another program: close it and try again ({first})")
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.BinderException)):
        return UsageError(f"the log cannot be asked that: {first}")
    if "No space left" in first:
        return durable.disk_full(path)
    if isinstance(error, duckdb.OutOfMemoryException):
        return LifelongError(f"{path} could not be written: {first}")
    return IntegrityError(f"{path} cannot be {'read' if read_only else 'written'}: {first}")
