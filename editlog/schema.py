"""The tables of the log's database: made and brought up to date by numbered migrations, held by guards.

No secondary index, no delete, no change of a row but the writer's epoch. The guards turn an accident into
an error; a person with the file can drop them, and it is the chain that such a person meets.
"""

from __future__ import annotations

from datetime import datetime

from duckdb import DuckDBPyConnection

from editlog.errors import IntegrityError, LifelongError
from editlog.migrations import MIGRATIONS

GUARDED = ("events", "texts", "migrations")


class Outdated(LifelongError):
    """The log was written by an older version; opening it brings it up to date."""


def create(con: DuckDBPyConnection, now: datetime) -> None:
    """Bring an empty database to the newest schema; `now` is naive UTC."""
    con.execute("CREATE TABLE migrations (number BIGINT, name VARCHAR, applied_at TIMESTAMP)")
    migrate(con, now)


def migrate(con: DuckDBPyConnection, now: datetime) -> list[str]:
    """Make each migration that is not recorded yet, whole or not at all, and record it; returns their names."""
    rest = list(enumerate(MIGRATIONS, start=1))[len(_recorded(con)) :]
    for number, (name, apply) in rest:
        con.execute("BEGIN")
        apply(con)
        con.execute("INSERT INTO migrations VALUES (?, ?, ?)", [number, name, now])
        con.execute("COMMIT")
    return [name for _, (name, _) in rest]


def check(con: DuckDBPyConnection) -> None:
    """Raise unless the database has exactly this program's schema; Outdated where it can be brought there."""
    numbers = _recorded(con)
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise IntegrityError(f"the edit log lists the migrations {numbers}, which no version has written")
    if len(numbers) > len(MIGRATIONS):
        raise LifelongError("the edit log was written by a newer version of lifelong: install that version")
    if len(numbers) < len(MIGRATIONS):
        raise Outdated("the edit log was written by an older version of lifelong: open it by EditLog.open once")


def missing_guards(con: DuckDBPyConnection) -> list[str]:
    """Names of the append-only guards that someone has dropped."""
    present = {name for (name,) in con.execute("SELECT trigger_name FROM duckdb_triggers()").fetchall()}
    wanted = {f"{table}_no_{change}" for table in GUARDED for change in ("delete", "update")}
    return sorted(wanted - present)


def _recorded(con: DuckDBPyConnection) -> list[int]:
    return [number for (number,) in con.execute("SELECT number FROM migrations ORDER BY number").fetchall()]
