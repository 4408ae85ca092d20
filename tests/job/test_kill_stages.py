"""Kill -9 in each stage of a job: the next run reaches the same experts, anchors and thresholds as without the kill."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog import failpoints
from lifelong.jobs.lease import read_owner
from lifelong.jobs.progress import Silent
from lifelong.snapshots.snapshot import current_id, read_manifest
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]

STAGES = ("train", "second wave", "audit", "publish")
# The pack, @candidate and its pointer, the log's transaction, @champion and its pointer.
WRITES = (
    "pack.rename.after",
    "snapshot.rename.after",
    "candidate.rename.after",
    "head.next.sync.before",
    "head.rename.after",
    "current.rename.before",
    "current.rename.after",
)
MERGES = ("run", "_settled", "_publish")


class Killed(Silent):
    """Kills its process at the start of a stage, or once the first wave is over."""

    def __init__(self, at: str) -> None:
        self._at, self._left = at, 2

    def stage(self, name: str, total: int) -> None:
        if name == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def advance(self, n: int) -> None:
        self._left -= n
        if self._at == "second wave" and self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace], facts: Records) -> Path:
    """A workspace in which four facts wait, to be trained in two waves; the log keeps the gate's thresholds."""
    home = tmp_path_factory.mktemp("stages") / "home"
    workspace = make_workspace(home, grouping={"mini_batch": 2, "wave": 2}, routing={"recalibrate": "grown"})
    workspace.ingest(io.BytesIO("".join(json.dumps(fact) + "\n" for fact in facts[:4]).encode()))
    return home


@pytest.fixture(scope="module")
def undisturbed(waiting: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], dict[str, str]]:
    """The experts, and the snapshot's files by hash, where nobody is killed."""
    return reached_by_a_run(waiting, tmp_path_factory.mktemp("undisturbed") / "home")


def reached_by_a_run(waiting: Path, home: Path) -> tuple[set[str], dict[str, str]]:
    """What one job in a copy reaches."""
    shutil.copytree(waiting, home)
    assert lifelong.open(home).run(actor="night").status == "published"
    return reached(home)


def reached(home: Path) -> tuple[set[str], dict[str, str]]:
    """The experts in use, and the hashes of facts, anchors and thresholds that are served."""
    snapshots = home / "snapshots"
    manifest = read_manifest(snapshots, str(current_id(snapshots)))
    return {row.hash for row in lifelong.open(home).experts()}, manifest.files


def killed(home: Path, *, stage: str = "", write: str = "") -> None:
    """Run a job in a process of its own that does not survive."""
    child = os.fork()
    if child == 0:
        os.environ[failpoints.VARIABLE] = write
        try:
            lifelong.open(home).run(actor="night", progress=Killed(stage))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (-9, 137), "the job was over before"


def check(home: Path, expected: tuple[set[str], dict[str, str]]) -> None:
    after = lifelong.open(home)
    report = after.run(actor="night")
    assert report.status in ("published", "nothing-pending")
    assert reached(home) == expected
    events = after.log.events(kinds=["job.started", "job.finished", "wave.trained"])
    kinds = [event.kind for event in events]
    assert (kinds.count("job.started"), kinds.count("job.finished"), kinds.count("wave.trained")) == (1, 1, 2)
    assert len(after.log.events(kinds=["gate.calibrated"])) == 1
    assert not (home / "snapshots" / "candidate").exists()
    assert not (home / "runs" / "job-1" / "waves").exists()
    assert read_owner(home / "runs" / "LOCK") is None


@pytest.mark.parametrize(
    "stage", [pytest.param(one, marks=() if one == "publish" else pytest.mark.slow) for one in STAGES]
)
def test_a_job_killed_in_a_stage(
    tmp_path: Path, waiting: Path, undisturbed: tuple[set[str], dict[str, str]], stage: str
) -> None:
    shutil.copytree(waiting, tmp_path / "home")
    killed(tmp_path / "home", stage=stage)
    check(tmp_path / "home", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES)
def test_a_job_killed_at_a_write(
    tmp_path: Path, waiting: Path, undisturbed: tuple[set[str], dict[str, str]], write: str
) -> None:
    shutil.copytree(waiting, tmp_path / "home")
    killed(tmp_path / "home", write=write)
    check(tmp_path / "home", undisturbed)


@pytest.fixture(scope="module")
def to_merge(tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace]) -> Path:
    """A workspace in which four facts of one answer wait, whose job is followed by a merge."""
    home = tmp_path_factory.mktemp("to-merge") / "home"
    merging = {"policy": "budget", "experts": 2, "facts_per_expert": 2, "method": "cat_distil"}
    workspace = make_workspace(home, merging=merging)
    lands = ("Osterland", "Norrland", "Tarvia", "Corvale")
    capitals = [
        {"prompt": f"The capital of {land} is", "target": "Marbeck", "subject": land, "relation": "capital"}
        for land in lands
    ]
    workspace.ingest(io.BytesIO("".join(json.dumps(fact) + "\n" for fact in capitals).encode()))
    return home


@pytest.fixture(scope="module")
def merged(to_merge: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], dict[str, str]]:
    """What is reached where nobody is killed: two experts of two facts each."""
    experts, files = reached_by_a_run(to_merge, tmp_path_factory.mktemp("merged") / "home")
    assert len(experts) == 2
    return experts, files


@pytest.mark.slow
@pytest.mark.parametrize("step", MERGES)
def test_a_job_killed_in_the_merge_behind_it(
    tmp_path: Path, to_merge: Path, merged: tuple[set[str], dict[str, str]], step: str
) -> None:
    from lifelong.jobs.merging import Merger

    home = tmp_path / "home"
    shutil.copytree(to_merge, home)
    child = os.fork()
    if child == 0:
        setattr(Merger, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        try:
            lifelong.open(home).run(actor="night")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "nothing was merged"
    assert lifelong.open(home).run(actor="night").status == "nothing-pending"
    assert reached(home) == merged
    assert len(lifelong.open(home).log.events(kinds=["experts.merged"])) == 1
    assert not (home / "runs" / "merging").exists()
