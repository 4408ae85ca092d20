"""Bring a log of an older version to this version's tables, after checking it as any writer does."""

from __future__ import annotations

from pathlib import Path

from editlog import durable, head, length, schema, session
from editlog.session import Clock
from editlog.texts import naive


def migrate(directory: Path, clock: Clock) -> list[str]:
    """Make the migrations that the log lacks and return their names; the caller holds the log alone.

    Each is one transaction that touches no event, so the log stands at the same head before and after it, wherever
    a crash may fall. Raises IntegrityError, and changes nothing, where the log is not what HEAD says.
    """
    database = directory / session.DATABASE
    with durable.told(database):
        session.heal(directory)
        with session.connected(database, read_only=True) as con:
            position, _ = head.settle(directory, session.tail_of(con))
        length.check(directory, database, position.seq)
        length.withdraw(directory)
        with session.connected(database, read_only=False) as con:
            made = schema.migrate(con, naive(clock()))
            con.execute("CHECKPOINT")
        length.note(directory, database, position.seq)
    return made
