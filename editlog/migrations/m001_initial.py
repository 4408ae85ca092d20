"""Events, the words of facts, the writer's epoch, and the guards that turn an accident into an error."""

from __future__ import annotations

from duckdb import DuckDBPyConnection


def apply(con: DuckDBPyConnection) -> None:
    """Make the tables."""
    con.execute("""
        CREATE TABLE events (
            seq BIGINT PRIMARY KEY, recorded_at TIMESTAMP NOT NULL, kind VARCHAR NOT NULL,
            actor VARCHAR NOT NULL, reason VARCHAR, job VARCHAR, body VARCHAR NOT NULL, hash BLOB NOT NULL
        )""")
    con.execute("""
        CREATE TABLE texts (
            seq BIGINT PRIMARY KEY, secret BLOB NOT NULL, digest BLOB NOT NULL, key VARCHAR NOT NULL,
            prompt VARCHAR NOT NULL, target VARCHAR NOT NULL, subject VARCHAR, relation VARCHAR,
            source VARCHAR, author VARCHAR, valid_from TIMESTAMP, valid_to TIMESTAMP, id VARCHAR,
            more VARCHAR, probes VARCHAR
        )""")
    con.execute("CREATE TABLE writer (epoch BIGINT NOT NULL)")
    con.execute("CREATE TABLE guard (message VARCHAR)")
    for table in ("events", "texts"):
        for change in ("delete", "update"):  # TRUNCATE meets the guard against DELETE
            con.execute(
                f"CREATE TRIGGER {table}_no_{change} AFTER {change} ON {table} FOR EACH STATEMENT "
                f"INSERT INTO guard SELECT error('{table} is append-only')"
            )
