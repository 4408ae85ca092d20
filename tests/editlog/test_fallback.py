"""Reading while a writer is at work: the log where it can be had, else the replica, and a word about it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from editlog.errors import Busy, IntegrityError
from editlog.fact import Fact
from editlog.fallback import Fallback
from editlog.lock import locked
from editlog.manifest import MANIFEST
from editlog.replica import refresh
from editlog.store import EditLog, utc_now

FACTS = [Fact(prompt=f"Prompt number {n} is", target="one") for n in range(4)]


@pytest.fixture
def directory(log: EditLog) -> Path:
    log.ingest(FACTS[:2], actor="ada")
    refresh(log, log.directory / "replica", utc_now())
    return log.directory / "replica"


@pytest.fixture
def reader(log: EditLog, directory: Path) -> Fallback:
    return Fallback(EditLog(log.directory, timeout=0.05), directory)


def test_a_reader_sees_what_was_just_written(log: EditLog, reader: Fallback, caplog: pytest.LogCaptureFixture) -> None:
    log.ingest(FACTS[2:], actor="ada")  # and the replica is behind
    assert len(reader.facts()) == 4
    assert caplog.text == ""


def test_a_busy_log_is_read_from_the_replica_and_said_to_be(
    log: EditLog, reader: Fallback, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(log.directory, shared=False, timeout=1):
        assert [fact.fact for fact in reader.facts()] == FACTS[:2]
        assert reader.head().seq == 4
    assert [record.message.rpartition(", ")[0] for record in caplog.records] == [
        "The edit log is busy: this is the replica at event 4"
    ]


def test_an_answer_does_not_mix_the_two(log: EditLog, reader: Fallback) -> None:
    with locked(log.directory, shared=False, timeout=1):
        assert reader.head().seq == 4
    log.ingest(FACTS[2:], actor="ada")
    assert len(reader.facts()) == 2  # the log is free again, and this reader has said where it stands


def test_a_replica_that_is_older_than_what_was_read_before_does_not_answer(log: EditLog, reader: Fallback) -> None:
    log.ingest(FACTS[2:], actor="ada")  # and the replica is behind
    position = reader.position()
    with locked(log.directory, shared=False, timeout=1), pytest.raises(Busy, match="held by another process"):
        reader.facts(as_of=position.seq)


def test_without_a_replica_a_busy_log_is_busy(log: EditLog, tmp_path: Path) -> None:
    reader = Fallback(EditLog(log.directory, timeout=0.05), tmp_path / "none")
    with locked(log.directory, shared=False, timeout=1), pytest.raises(Busy, match="held by another process"):
        reader.facts()


def test_with_a_damaged_replica_a_busy_log_is_busy(log: EditLog, reader: Fallback, directory: Path) -> None:
    (directory / MANIFEST).write_text("{")
    with locked(log.directory, shared=False, timeout=1), pytest.raises(Busy, match="held by another process"):
        reader.facts()


def test_a_damaged_log_is_not_hidden_by_its_replica(log: EditLog, reader: Fallback) -> None:
    (log.directory / "HEAD").unlink()
    with pytest.raises(IntegrityError):
        reader.facts()


def test_an_error_of_the_question_is_no_reason_to_turn_to_the_replica(reader: Fallback) -> None:
    with pytest.raises(Busy, match="mine"), reader.visit():
        raise Busy("mine")
    assert reader.head().seq == 4


def test_a_reader_waits_a_moment_for_a_short_write(
    log: EditLog, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held, reader = threading.Event(), Fallback(EditLog(log.directory, timeout=5), directory)

    def hold() -> None:
        with locked(log.directory, shared=False, timeout=1):
            held.set()
            threading.Event().wait(0.2)

    writer = threading.Thread(target=hold)
    writer.start()
    held.wait()
    assert reader.head() == log.head()
    writer.join()
    assert caplog.text == ""
