"""A damaged log comes back from the readers' replica, as far as that verifies; the replica is then made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from editlog import segments
from editlog.errors import IntegrityError
from editlog.fact import Fact
from editlog.replica import Replica
from editlog.store import EditLog

FACTS = [Fact(prompt=f"Prompt number {n} is", target=f"target {n}") for n in range(9)]


@pytest.fixture
def log(empty_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EditLog:
    """Eleven events and their replica, in segments of 5."""
    monkeypatch.setattr(segments, "SMALL", 5)
    log = EditLog(shutil.copytree(empty_log, tmp_path / "log"), replica=tmp_path / "log" / "replica")
    log.ingest(FACTS, actor="ada")
    return log


def test_a_lost_database_comes_back_whole(log: EditLog) -> None:
    facts, events = log.facts(), log.events()
    (log.directory / "edits.duckdb").write_bytes(b"gone")
    found = log.recover(actor="bo")
    assert found.complete
    assert found.sources == {"replica": 11}
    assert (log.facts(), log.events()[:11]) == (facts, events)
    assert log.verify() == []
    assert Replica.open(log.directory / "replica", verify=True).events() == log.events()


def test_the_replica_of_another_log_is_not_believed(log: EditLog, tmp_path: Path) -> None:
    other = EditLog.create(tmp_path / "other", actor="eve")
    other = EditLog(other.directory, replica=tmp_path / "replica")
    other.ingest([Fact(prompt="The capital of Australia is", target="Sydney")], actor="eve")
    shutil.rmtree(log.directory / "replica")
    shutil.copytree(tmp_path / "replica", log.directory / "replica")
    (log.directory / "edits.duckdb").write_bytes(b"gone")
    with pytest.raises(IntegrityError, match="nothing of the log"):
        log.recover(actor="bo")


def test_a_damaged_replica_is_no_help_and_no_harm(log: EditLog) -> None:
    for path in (log.directory / "replica").glob("*.parquet"):
        path.write_bytes(b"gone")
    (log.directory / "edits.duckdb").write_bytes(b"gone")
    with pytest.raises(IntegrityError, match="nothing of the log"):
        log.recover(actor="bo")
