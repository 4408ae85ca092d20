"""The numbered migrations that made the log's tables what they are, in order.

A migration is a module `m<number>_<name>` with one function, `apply(con)`. It runs once, in a transaction of its own,
and is recorded in the table `migrations`. None of them changes what an event or a text says: the chain is over that.
One that has been released is never edited; tests/editlog/logs holds a log of every older schema.
"""

from __future__ import annotations

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from editlog.migrations import m001_initial, m002_guard_migrations

Migration = Callable[[DuckDBPyConnection], None]

MIGRATIONS: tuple[tuple[str, Migration], ...] = tuple(
    (module.__name__.rpartition(".")[2], module.apply) for module in (m001_initial, m002_guard_migrations)
)
