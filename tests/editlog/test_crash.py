"""A write that is killed, or whose disk fails, at any of its points is whole or absent, and the next one carries on.

Each row of the table is one operation on the disk, with a failpoint before and one after it. A new operation makes
`test_the_table_names_every_point` fail until it stands in the table, and so is tested from the day it is written.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults import die, failing, points_passed

from editlog.errors import IntegrityError, LifelongError, UsageError
from editlog.fact import Fact
from editlog.store import EditLog

# Every operation of a write in its order, and whether the events are in the log when it is about to be done.
OPERATIONS = {
    "head.next.write": False,
    "head.next.sync": False,
    "head.next.rename": False,
    "head.next.sync_directory": False,
    "commit": False,
    "commit.sync_directory": True,
    "head.rename": True,
    "head.sync_directory": True,
    "close": True,
}
OF_CREATION = ("directory.make", "directory.sync_directory", "create.rename")
OF_HEALING = ("head.forget.sync_directory",)
POINTS = [f"{operation}.{side}" for operation in OPERATIONS for side in ("before", "after")]
# What the database has committed is never lost, though it is acknowledged only once HEAD is durable.
COMMITTED = set(POINTS[POINTS.index("commit.after") :])

# Killed and out of space at each point in `make test`, all of them in `make test-crash`.
FAULTS = ["crash", *(pytest.param(fault, marks=pytest.mark.crash) for fault in ("ENOSPC", "EIO"))]
DISK_FAULTS = ["ENOSPC", pytest.param("EIO", marks=pytest.mark.crash)]

FACTS = [Fact(prompt=f"Prompt number {n} is", target="one") for n in range(4)]


def test_the_table_names_every_point(empty_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = shutil.copytree(empty_log, tmp_path / "log")
    assert points_passed(monkeypatch, lambda: EditLog(directory).ingest(FACTS, actor="ada")) == set(POINTS)
    created = points_passed(monkeypatch, lambda: EditLog.create(tmp_path / "new" / "log", actor="ada"))
    assert created - set(POINTS) == {f"{operation}.{side}" for operation in OF_CREATION for side in ("before", "after")}


def whole_or_absent(directory: Path, point: str, fault: str) -> None:
    """What every interrupted ingest of three facts must leave: three or none, and a log that carries on."""
    seen = len(EditLog(directory).facts())  # a reader neither waits for repairs nor makes any
    log = EditLog.open(directory)
    assert len(log.facts()) == seen == (3 if point in COMMITTED else 0), (point, fault)
    log.ingest(FACTS, actor="ada")
    assert len(log.facts()) == 4
    assert log.verify() == []
    assert {path.name for path in directory.iterdir()} == {"edits.duckdb", "HEAD", "LENGTH", "LOCK", "TURN"}


@pytest.mark.parametrize("point", POINTS)
def test_a_write_that_dies_is_whole_or_absent(empty_log: Path, tmp_path: Path, point: str) -> None:
    directory = shutil.copytree(empty_log, tmp_path / "log")
    die(lambda: EditLog(directory).ingest(FACTS[:3], actor="ada"), point)
    whole_or_absent(directory, point, "crash")


@pytest.mark.parametrize("fault", DISK_FAULTS)
@pytest.mark.parametrize("point", POINTS)
def test_a_write_whose_disk_fails_is_whole_or_absent(empty_log: Path, tmp_path: Path, point: str, fault: str) -> None:
    directory = shutil.copytree(empty_log, tmp_path / "log")
    expected = IntegrityError if fault == "EIO" else LifelongError
    with failing(point, fault), pytest.raises(expected, match=r"nothing acknowledged is lost.*do the same again"):
        EditLog(directory).ingest(FACTS[:3], actor="ada")
    whole_or_absent(directory, point, fault)


@pytest.mark.parametrize("point", [f"{operation}.{side}" for operation in OF_HEALING for side in ("before", "after")])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_healing_that_is_interrupted_is_done_by_the_next(
    empty_log: Path, tmp_path: Path, point: str, fault: str
) -> None:
    directory = shutil.copytree(empty_log, tmp_path / "log")
    die(lambda: EditLog(directory).ingest(FACTS[:3], actor="ada"), "commit.before")
    if fault == "crash":
        die(lambda: EditLog.open(directory), point)
    else:
        with failing(point, fault), pytest.raises(LifelongError):
            EditLog.open(directory)
    whole_or_absent(directory, point, fault)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.6, 0.99])
def test_a_committed_row_that_the_database_lost_is_never_lost_in_silence(
    empty_log: Path, tmp_path: Path, left: float
) -> None:
    """DuckDB opens a write-ahead log whose tail is cut, with fewer rows and without a word; HEAD tells."""
    directory = shutil.copytree(empty_log, tmp_path / "log")
    die(lambda: EditLog(directory).ingest(FACTS, actor="ada"), "close.before")
    wal = directory / "edits.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[: int(wal.stat().st_size * left)])
    evidence = {path.name: path.read_bytes() for path in directory.iterdir()}
    for act in (
        lambda: EditLog.open(directory),
        lambda: EditLog(directory).facts(),
        lambda: EditLog(directory).ingest(FACTS, actor="ada"),
    ):
        with pytest.raises(IntegrityError):
            act()
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == evidence


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "point",
    [
        *(f"{operation}.{side}" for operation in OF_CREATION for side in ("before", "after")),
        "head.next.rename.before",
        "head.rename.before",
    ],
)
def test_a_creation_that_is_interrupted_leaves_a_whole_log_or_none(tmp_path: Path, point: str, fault: str) -> None:
    directory = tmp_path / "new" / "log"
    if fault == "crash":
        die(lambda: EditLog.create(directory, actor="ada"), point)
    else:
        with failing(point, fault), pytest.raises(LifelongError):
            EditLog.create(directory, actor="ada")
    try:
        log = EditLog.open(directory)
    except UsageError:
        log = EditLog.create(directory, actor="ada")
    assert [event.kind for event in log.events()] == ["workspace.created"]
    assert log.verify() == []
