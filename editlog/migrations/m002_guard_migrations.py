"""The record of migrations is append-only as well: with a line of it gone, a migration would be made twice."""

from __future__ import annotations

from duckdb import DuckDBPyConnection


def apply(con: DuckDBPyConnection) -> None:
    """Add the guards."""
    for change in ("delete", "update"):
        con.execute(
            f"CREATE TRIGGER migrations_no_{change} AFTER {change} ON migrations FOR EACH STATEMENT "
            "INSERT INTO guard SELECT error('migrations is append-only')"
        )
