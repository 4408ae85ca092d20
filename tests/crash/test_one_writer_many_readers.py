"""One writer and eight readers, each a process: no reader fails, sees half a batch or an old position.

Half of the readers ask the replica, half the log with the replica behind it. What a call that writes has acknowledged
is there for every reader that comes after it: a replica is refreshed before the acknowledgement reaches the caller.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from editlog.fact import Fact
from editlog.fallback import Fallback
from editlog.reader import Reader
from editlog.replica import Replica
from editlog.store import EditLog

READERS, BATCHES = 8, 3
PATIENCE = 600  # seconds; a machine that is busy is no failure
_fork = multiprocessing.get_context("fork")


class Seen(NamedTuple):
    """What one reader has to tell; `slowest` is in seconds."""

    reads: int
    from_replica: int
    slowest: float
    error: str | None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return EditLog.create(tmp_path_factory.mktemp("made") / "log", actor="ada").directory


def write(directory: Path, acknowledged: Synchronized[int], done: Event, seconds: float) -> None:
    """Ingest batches of a fact to a hundred, and retract a fact of each, for some time; some batches at the least."""
    log = EditLog(directory, timeout=PATIENCE, replica=directory / "replica")
    random, number = Random(0), count()
    until, batches = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < until or batches < BATCHES:
            facts = [
                Fact(prompt=f"Prompt number {next(number)} is", target="one") for _ in range(random.choice((1, 7, 100)))
            ]
            acknowledged.value = log.ingest(facts, actor="writer").head.seq
            log.retract([f"f{acknowledged.value}"], actor="writer", reason="wrong")
            acknowledged.value = log.head().seq
            batches += 1
    finally:
        done.set()


def read(directory: Path, acknowledged: Synchronized[int], done: Event, source: Callable[[Path], Reader]) -> Seen:
    """Look, and look whether what is seen is whole, for as long as there is a writer; once at the least."""
    reads, from_replica, slowest = 0, 0, 0.0
    while not done.is_set() or not reads:
        floor, began = acknowledged.value, time.monotonic()
        try:
            from_replica += look(source(directory), floor)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test is for
            return Seen(reads, from_replica, slowest, f"{type(error).__name__}: {error}")
        slowest = max(slowest, time.monotonic() - began)
        reads += 1
    return Seen(reads, from_replica, slowest, None)


def look(reader: Reader, floor: int) -> bool:
    """Check one position of the log; whether it was the replica's."""
    seq = reader.head().seq
    if seq < floor:
        raise AssertionError(f"event {floor} was acknowledged, the reader stands at {seq}")
    events = reader.events(as_of=seq)
    if [event.seq for event in events] != list(range(1, seq + 1)):
        raise AssertionError(f"the events are not 1 to {seq}")
    facts = reader.facts(as_of=seq)
    accepted = {event.seq: event.body["accepted"] for event in events if event.kind == "ingest.batch"}
    if Counter(fact.batch for fact in facts) != accepted:
        raise AssertionError(f"half a batch at event {seq}")
    retracted = {event.body["fact"] for event in events if event.kind == "fact.retracted"}
    if {fact.seq for fact in facts if fact.retracted_by} != retracted:
        raise AssertionError(f"half a retraction at event {seq}")
    return isinstance(reader, Replica) or (isinstance(reader, Fallback) and reader.uses_replica)


def of_the_replica(directory: Path) -> Reader:
    return Replica.open(directory / "replica")


def of_the_log(directory: Path) -> Reader:
    return Fallback(EditLog(directory, timeout=0.3), directory / "replica")


def _report(work: Callable[..., Seen], results: Any, *arguments: Any) -> None:
    logging.disable()  # that the log was busy is what is wanted here
    results.put(work(*arguments))


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.crash)])
def test_readers_never_fail_nor_see_half_a_batch(made: Path, tmp_path: Path, seconds: int) -> None:
    directory = shutil.copytree(made, tmp_path / "log")
    EditLog(directory, replica=directory / "replica").ingest([Fact(prompt="The first is", target="one")], actor="ada")
    acknowledged, results, done = _fork.Value("q", 0), _fork.Queue(), _fork.Event()
    writer = _fork.Process(target=write, args=(directory, acknowledged, done, seconds))
    sources = [of_the_replica, of_the_log] * (READERS // 2)
    readers = [
        _fork.Process(target=_report, args=(read, results, directory, acknowledged, done, source)) for source in sources
    ]
    for process in (writer, *readers):
        process.start()
    seen = [results.get(timeout=seconds + PATIENCE) for _ in readers]
    for process in (writer, *readers):
        process.join()
    log = EditLog(directory)
    reads, of_replica = sum(one.reads for one in seen), sum(one.from_replica for one in seen)
    print(
        f"\n{seconds} s: {log.head().seq} events written, {reads} reads by {READERS} readers ({of_replica} of the"
        f" replica), the slowest {max(one.slowest for one in seen):.2f} s"
    )
    assert [one.error for one in seen if one.error] == []
    assert writer.exitcode == 0
    assert all(one.reads for one in seen)
    assert log.head().seq == acknowledged.value > 4
    assert log.verify() == []
    assert Replica.open(directory / "replica", verify=True).facts() == log.facts()
