"""`ingest` and `retract`, which publishes, killed from outside: what was acknowledged is there, and nothing by half.

The next command heals what the dead one left behind: nobody is asked to do anything.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import kills
import pytest

import lifelong
from editlog.store import EditLog
from lifelong.snapshot import current_id, read_snapshot
from lifelong.workspace import Workspace

BATCH = 1000


@pytest.fixture(scope="module")
def ingesting(tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace]) -> Path:
    return make_workspace(tmp_path_factory.mktemp("ingesting") / "home").home


def batch(folder: Path, name: str) -> Path:
    """A file of facts that no other batch has."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{name} {n} is", "target": "one"}) + "\n" for n in range(BATCH)))
    return path


def rows_by_batch(home: Path) -> Counter[str]:
    """How many facts of each batch the log holds; also that it is whole."""
    log = EditLog.open(home / "log")
    assert log.verify() == []
    return Counter(fact.fact.prompt.split()[0] for fact in log.facts())


def kill_ingests(original: Path, folder: Path, *, seed: int, count: int) -> int:
    """Kill one ingest after another in a copy of a workspace; how many were not over before."""
    home = shutil.copytree(original, folder / "home")
    life, write = kills.measured(home, "ingest", str(batch(folder, "first")))
    expected, killed = Counter(first=BATCH), 0
    for number, moment in enumerate(kills.moments(seed, count, life=life, write=write)):
        path = batch(folder, f"batch-{number}")
        acknowledged = kills.kill(kills.start(home, "ingest", str(path)), home, moment)
        killed += not acknowledged
        rows = rows_by_batch(home)
        there = rows.pop(path.stem, 0)
        assert rows == expected, f"seed {seed}, kill {number}: acknowledged rows are lost"
        assert there in ({BATCH} if acknowledged else {0, BATCH}), f"seed {seed}, kill {number}: a torn batch"
        assert lifelong.open(home).ingest(path).accepted == BATCH - there
        expected[path.stem] = BATCH
    assert kills.finish(home, "ingest", str(batch(folder, "last"))) == 0
    assert rows_by_batch(home) == {**expected, "last": BATCH}
    return killed


def kill_retractions(original: Path, folder: Path, *, seed: int, count: int) -> int:
    """Kill one retraction after another in a copy of a workspace; how many were not over before."""
    home = shutil.copytree(original, folder / "home")
    workspace = lifelong.open(home)
    snapshots = workspace.layout.snapshots
    refs = [fact.ref for fact in workspace.log.facts()][: count + 2]
    retract = ("retract", "--reason", "wrong")
    life, write = kills.measured(home, *retract, refs[0])
    gone, killed = {refs[0]}, 0
    for number, (ref, moment) in enumerate(
        zip(refs[1:-1], kills.moments(seed, count, life=life, write=write), strict=True)
    ):
        acknowledged = kills.kill(kills.start(home, *retract, ref), home, moment)
        killed += not acknowledged
        served = {fact.ref for fact in read_snapshot(snapshots, current_id(snapshots) or "").facts if fact.expert}
        log = EditLog.open(home / "log")
        assert log.verify() == []
        withdrawn = {fact.ref for fact in log.facts() if fact.retracted_by}
        assert withdrawn in ([gone | {ref}] if acknowledged else [gone, gone | {ref}]), f"seed {seed}, kill {number}"
        assert not acknowledged or ref not in served, f"seed {seed}, kill {number}: it is served all the same"
        gone = withdrawn
    assert kills.finish(home, *retract, refs[-1]) == 0
    after = lifelong.open(home)
    live = {fact.ref for fact in after.log.facts() if not fact.retracted_by}
    assert live.isdisjoint(gone | {refs[-1]})
    assert {fact.ref for fact in read_snapshot(snapshots, current_id(snapshots) or "").facts if fact.expert} == live
    assert not after.status().snapshot_behind
    return killed


def test_four_ingests_killed(ingesting: Path, tmp_path: Path) -> None:
    kill_ingests(ingesting, tmp_path, seed=1, count=4)


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_ingests_killed(ingesting: Path, tmp_path: Path, seed: int) -> None:
    killed = kill_ingests(ingesting, tmp_path, seed=seed, count=10)
    print(f"kill -9 of ingest, seed {seed}: 10 runs, {killed} killed, 0 acknowledged rows lost, 0 torn batches")


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(200, 205))
def test_ten_retractions_killed(published_home: Path, tmp_path: Path, seed: int) -> None:
    killed = kill_retractions(published_home, tmp_path, seed=seed, count=10)
    print(
        f"kill -9 of publish, seed {seed}: 10 runs, {killed} killed, 0 acknowledged changes lost, none served by half"
    )
