"""A log of an older version is brought up to date when it is opened; what it says, and its head, stay the same.

`logs/schema-<n>.tar.xz` is a log as the version with n migrations wrote it: twelve events with facts of every shape.
"""

from __future__ import annotations

import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from editlog import failpoints, migrations, schema
from editlog.errors import IntegrityError, LifelongError
from editlog.fact import Fact
from editlog.head import Head
from editlog.store import EditLog

LOGS = sorted((Path(__file__).parent / "logs").glob("schema-*.tar.xz"))
HEAD = "sha256:bf03fa40cfae9bf87dbf41da5d9e73cc524604b74d30a7fd462a3907c2721421"


@pytest.fixture(params=LOGS, ids=lambda path: path.name.partition(".")[0])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path / "log", filter="data")
    return tmp_path / "log"


def recorded(directory: Path) -> list[tuple[int, str]]:
    with duckdb.connect(directory / "edits.duckdb", read_only=True) as con:
        return con.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()


def test_every_schema_but_the_newest_has_a_stored_log() -> None:
    assert len(LOGS) == len(migrations.MIGRATIONS) - 1


def test_an_older_log_says_what_it_said(older: Path) -> None:
    head = Head.decode((older / "HEAD").read_bytes())
    log = EditLog.open(older)
    assert log.head() == head
    assert head.hash == HEAD
    assert log.verify() == []
    assert [(fact.ref, fact.fact.target, fact.status) for fact in log.facts()] == [
        ("f4", "Canberra", "applied"),
        ("f5", "the Danube", "pending"),
        ("f6", "Zürich", "pending"),
        ("f8", "Sydney", "retracted"),
    ]
    log.ingest([Fact(prompt="One more is", target="one")], actor="ada")
    assert log.verify() == []


def test_what_was_migrated_is_recorded_once(older: Path) -> None:
    EditLog.open(older)
    EditLog.open(older)
    assert recorded(older) == [(number, name) for number, (name, _) in enumerate(migrations.MIGRATIONS, start=1)]


def test_an_older_log_is_like_a_new_one(older: Path, empty_log: Path) -> None:
    def shape(directory: Path) -> list[tuple[str, ...]]:
        with duckdb.connect(directory / "edits.duckdb", read_only=True) as con:
            return con.execute(
                "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
                "UNION ALL SELECT table_name, trigger_name, sql FROM duckdb_triggers() ORDER BY ALL"
            ).fetchall()

    EditLog.open(older)
    assert shape(older) == shape(empty_log)


def test_nobody_reads_or_writes_an_older_log_by_accident(older: Path) -> None:
    for act in (EditLog(older).facts, lambda: EditLog(older).ingest([Fact(prompt="p", target="t")], actor="ada")):
        with pytest.raises(schema.Outdated, match=r"EditLog\.open"):
            act()


def test_a_damaged_older_log_is_not_migrated(older: Path) -> None:
    (older / "HEAD").write_bytes(Head("60" * 16, 12, HEAD.replace("bf03", "bf04"), 6).encode())
    with pytest.raises(IntegrityError):
        EditLog.open(older)
    assert len(recorded(older)) < len(migrations.MIGRATIONS)


def test_a_migration_that_dies_is_made_by_the_next_to_open(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of the last migration, before its commit: none of it is there, and the log is as it was."""
    *rest, (name, apply) = migrations.MIGRATIONS

    def half(con: duckdb.DuckDBPyConnection) -> None:
        apply(con)
        failpoints.hit("migration")

    monkeypatch.setattr(schema, "MIGRATIONS", (*rest, (name, half)))
    child = os.fork()
    if child == 0:
        os.environ[failpoints.VARIABLE] = "migration"
        try:
            EditLog.open(older)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    assert EditLog.open(older).verify() == []
    assert len(recorded(older)) == len(migrations.MIGRATIONS)


def test_a_log_of_a_newer_version_is_left_alone(empty_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", migrations.MIGRATIONS[:1])
    with pytest.raises(LifelongError, match="newer version"):
        EditLog.open(empty_log)


@pytest.mark.parametrize("numbers", [[], [2], [1, 3], [1, 1]])
def test_a_record_of_migrations_that_no_version_wrote_is_damage(numbers: list[int]) -> None:
    with duckdb.connect() as con:
        schema.create(con, datetime(2026, 11, 21, tzinfo=UTC).replace(tzinfo=None))
        con.execute("CREATE OR REPLACE TABLE migrations (number BIGINT, name VARCHAR, applied_at TIMESTAMP)")
        for number in numbers:
            con.execute("INSERT INTO migrations VALUES (?, 'x', now())", [number])
        with pytest.raises(IntegrityError, match="no version has written"):
            schema.check(con)
