"""Redaction: the words of facts and the secrets of their commitments are destroyed, and the log says so.

A row that is deleted leaves its bytes in freed blocks, so the database is written anew without it: every event, hash
and other text is copied as it stands, the events that tell of the redaction are appended, and the new file takes the
old one's place in the order that any write has (HEAD.next, the database, HEAD). Killed anywhere, the log is the old
one or the new one; the chain verifies in both.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from editlog import durable, head, length, schema, session
from editlog.canonical import fold
from editlog.errors import IntegrityError, UsageError
from editlog.events import Entry, Stamp
from editlog.head import Head
from editlog.history import LoggedFact, read_events, read_facts
from editlog.lock import Held
from editlog.session import Writer
from editlog.texts import naive

_ROWS = 50_000
_MADE_ANEW = frozenset({"guard", "migrations", "writer"})


def same_content(con: DuckDBPyConnection, as_of: int, seqs: Collection[int]) -> list[LoggedFact]:
    """The facts `seqs` and every other that gives the same target to the same prompt, retracted or not, in log order.

    Compared without case, width and spacing. Raises UsageError for a seq that has no words in the log.
    """
    rows = con.execute("SELECT seq, key, prompt, target FROM texts WHERE seq <= ?", [as_of]).fetchall()
    said = {seq: (fold(prompt), fold(target)) for seq, _, prompt, target in rows}
    if missing := sorted(set(seqs) - said.keys()):
        raise UsageError(f"f{missing[0]} has no words in the log: there is nothing of it to redact")
    wanted = {said[seq] for seq in seqs}
    chosen = {seq for seq, content in said.items() if content in wanted}
    keys = sorted({key for seq, key, *_ in rows if seq in chosen})
    return [fact for fact in read_facts(con, as_of, keys) if fact.seq in chosen]


def redacted(con: DuckDBPyConnection) -> list[int]:
    """The facts that events say are redacted, in the order in which they were."""
    return [event.body["fact"] for event in read_events(con, "kind = 'fact.redacted'", [])]


def rewrite(directory: Path, seqs: Sequence[int], more: Sequence[Entry], stamp: Stamp, held: Held) -> Head:
    """Write the log anew without the words of `seqs`, with a fact.redacted event for each and `more` behind them.

    The caller holds the log alone, by `held`. Raises IntegrityError, and changes nothing, where the log is not what
    HEAD says or a guard was dropped: what a tamperer left behind is evidence, and must not be written anew.
    """
    database = directory / session.DATABASE
    # In the log's own directory: the sync of its names before the rename is over this one as well.
    fresh_file = directory / f"{session.DATABASE}.new"
    with durable.told(database):
        session.heal(directory)
        _fold_wal(directory)
        _clear(directory)
        try:
            before, fresh = _written(directory, fresh_file, seqs, more, stamp)
            session.fence(directory, before, held)
            length.withdraw(directory)
            head.announce(directory, fresh)
            durable.rename(fresh_file, database, point="redact")
            head.promote(directory)
            length.note(directory, database, fresh.seq)
        finally:
            _clear(directory)
    return fresh


def _clear(directory: Path) -> None:
    """Remove what a redaction or a recovery that was killed has left half written."""
    for half in directory.glob(f"{session.DATABASE}.new*"):
        half.unlink()
    for scratch in directory.glob(".recover.*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _fold_wal(directory: Path) -> None:
    """Bring what a crash left in the write-ahead log into the database, so that nothing of it outlives the swap."""
    if (directory / f"{session.DATABASE}.wal").exists():
        length.withdraw(directory)
        with session.connected(directory / session.DATABASE, read_only=False) as con:
            con.execute("CHECKPOINT")


def _written(
    directory: Path, target: Path, seqs: Sequence[int], more: Sequence[Entry], stamp: Stamp
) -> tuple[Head, Head]:
    """The new database, complete, and synced by its checkpoint; returns the heads of the old one and of the new."""
    with session.connected(directory / session.DATABASE, read_only=True) as old:
        schema.check(old)
        before, _ = head.settle(directory, session.tail_of(old))
        length.check(directory, directory / session.DATABASE, before.seq)
        if dropped := schema.missing_guards(old):
            raise IntegrityError(
                f"the guard {dropped[0]} of the log in {directory} was dropped: nothing was changed, run `lifelong log"
                " verify`"
            )
        now = max(stamp.at, session.last_moment(old))
        with session.connected(target, read_only=False) as con:
            schema.create(con, naive(now))
            for table in _tables(old):
                _copy(old, con, table, seqs if table == "texts" else ())
            con.execute("BEGIN")
            writer = Writer(directory, con, before, now)
            told = [Entry("fact.redacted", {"fact": seq}) for seq in seqs]
            writer.append([*told, *more], replace(stamp, at=now))
            con.execute("INSERT INTO writer VALUES (?)", [before.epoch + 1])
            con.execute("COMMIT")
            con.execute("CHECKPOINT")
    return before, writer.next_head()


def _tables(con: DuckDBPyConnection) -> list[str]:
    rows = con.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_name").fetchall()
    return [name for (name,) in rows if name not in _MADE_ANEW]


def _copy(old: DuckDBPyConnection, new: DuckDBPyConnection, table: str, without: Sequence[int]) -> None:
    """Copy a table as it stands, but for the rows of some seqs."""
    query = f"SELECT * FROM {table}"
    if without:
        query += f" WHERE seq NOT IN ({', '.join(str(int(seq)) for seq in without)})"
    for batch in old.sql(query).to_arrow_reader(_ROWS):
        new.register("copied", batch)
        new.execute(f"INSERT INTO {table} BY NAME SELECT * FROM copied")
        new.unregister("copied")
