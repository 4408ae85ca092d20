"""A refresh that is killed, or whose disk fails, at any of its points leaves a replica that can be read.

It stands at the position before or at the one after, whole, and the next refresh goes on from there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults import die, failing, points_passed

from editlog import segments
from editlog.errors import LifelongError
from editlog.fact import Fact
from editlog.manifest import MANIFEST
from editlog.replica import Replica, refresh
from editlog.store import EditLog, utc_now

OPERATIONS = [
    f"replica.{operation}"
    for operation in (
        "segment.write",
        "segment.sync",
        "segment.rename",
        "segments.sync_directory",
        "manifest.write",
        "manifest.sync",
        "manifest.rename",
        "manifest.sync_directory",
    )
]
POINTS = [f"{operation}.{side}" for operation in OPERATIONS for side in ("before", "after")]
PUBLISHED = set(POINTS[POINTS.index("replica.manifest.rename.after") :])
FACTS = [Fact(prompt=f"Prompt number {n} is", target="one") for n in range(12)]


# Killed at each point in `make test`; the disk fails at each in `make test-crash`.
FAULTS = [pytest.param(fault, marks=pytest.mark.crash) for fault in ("ENOSPC", "EIO")]


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 5 events, so that some are full."""
    monkeypatch.setattr(segments, "SMALL", 5)


@pytest.fixture(scope="module")
def behind(empty_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, and a replica at event 6 that lacks its last four events."""
    place = tmp_path_factory.mktemp("behind")
    log = EditLog(shutil.copytree(empty_log, place / "log"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SMALL", 5)
        log.ingest(FACTS[:4], actor="ada")
        refresh(log, place / "replica", utc_now())
    log.ingest(FACTS[4:8], actor="ada")
    return place


@pytest.fixture
def log(behind: Path, tmp_path: Path) -> EditLog:
    shutil.copytree(behind, tmp_path, dirs_exist_ok=True)
    return EditLog(tmp_path / "log")


def readable(log: EditLog, directory: Path, point: str) -> None:
    """What every interrupted refresh must leave, and the one after it."""
    replica = Replica.open(directory, verify=True)
    assert replica.head().seq == (11 if point in PUBLISHED else 6), point
    assert replica.events() == log.events(as_of=replica.head().seq)
    refresh(log, directory, utc_now())
    healed = Replica.open(directory, verify=True)
    assert healed.facts() == log.facts()
    stay = healed.manifest.names | healed.manifest.superseded.keys() | {MANIFEST, "LOCK", "TURN"}
    assert {path.name for path in directory.iterdir()} == stay


def test_the_table_names_every_point(log: EditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert points_passed(monkeypatch, lambda: refresh(log, tmp_path / "replica", utc_now())) == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_a_refresh_that_dies_leaves_a_replica(log: EditLog, tmp_path: Path, point: str) -> None:
    die(lambda: refresh(log, tmp_path / "replica", utc_now()), point)
    readable(log, tmp_path / "replica", point)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", POINTS)
def test_a_refresh_whose_disk_fails_leaves_a_replica(log: EditLog, tmp_path: Path, point: str, fault: str) -> None:
    with failing(point, fault), pytest.raises(LifelongError):
        refresh(log, tmp_path / "replica", utc_now())
    readable(log, tmp_path / "replica", point)


@pytest.mark.parametrize(
    ("point", "fault"), [("replica.segment.write.before", "ENOSPC"), ("replica.manifest.sync_directory.after", "EIO")]
)
def test_a_write_is_acknowledged_though_the_refresh_behind_it_fails(
    log: EditLog, tmp_path: Path, point: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    with failing(point, fault):
        receipt = EditLog(log.directory, replica=tmp_path / "replica").ingest(FACTS[8:], actor="ada")
    assert receipt.accepted == 4
    assert "the replica could not be refreshed" in caplog.text
    assert len(log.facts()) == 12


def test_the_first_refresh_of_all_leaves_a_replica_or_none(log: EditLog, tmp_path: Path) -> None:
    die(lambda: refresh(log, tmp_path / "new", utc_now()), "replica.manifest.rename.before")
    with pytest.raises(LifelongError, match="there is no replica"):
        Replica.open(tmp_path / "new")
    refresh(log, tmp_path / "new", utc_now())
    assert Replica.open(tmp_path / "new", verify=True).events() == log.events()
