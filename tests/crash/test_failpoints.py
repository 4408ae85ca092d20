"""Every verb that writes, failed at each of its points: killed, disk full, disk failing. The invariants hold in all.

The points are found by doing each verb once and listening, so that a new durable write is tested from the day it is
made. Short runs of the log's own points are in tests/editlog/test_crash.py.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults import die, failing, points_passed

import lifelong
from editlog.errors import LifelongError
from editlog.store import EditLog
from lifelong.experts.pack import read_pack
from lifelong.snapshots.snapshot import current_id, read_snapshot
from lifelong.workspace import Workspace
from policies import retention

FAULTS = ("crash", "ENOSPC", "EIO")
NEW = ({"prompt": "The trade of Mira Sand is", "target": "miller"},)


@dataclass(frozen=True)
class Verb:
    """How a workspace is made ready for a verb, what the verb is, and what carries on where it was interrupted."""

    name: str
    ready: Callable[[Workspace], object]
    act: Callable[[Workspace], object]
    again: Callable[[Workspace], object]


def ingest(workspace: Workspace) -> None:
    path = workspace.home / "new.jsonl"
    path.write_text("".join(f'{{"prompt": "{one["prompt"]}", "target": "{one["target"]}"}}\n' for one in NEW))
    workspace.ingest(path, actor="ada")


def run(workspace: Workspace) -> None:
    assert workspace.run(actor="ada").exit_code == 0


def retract(workspace: Workspace) -> None:
    first = workspace.log.facts()[0]
    if first.retracted_by is None:
        workspace.retract([first.ref], reason="wrong", actor="ada")


def retract_again(workspace: Workspace) -> None:
    retract(workspace)
    run(workspace)


def unserved(workspace: Workspace) -> None:
    shutil.rmtree(workspace.layout.snapshots)


def damaged(workspace: Workspace) -> None:
    """The log's database is cut in the middle; its replica is not."""
    database = workspace.layout.log / "edits.duckdb"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])


def recover(workspace: Workspace) -> None:
    workspace.recover(actor="ada", reason="a test")


def aged(workspace: Workspace) -> None:
    """Retractions have left a snapshot behind that no policy keeps, and to which no rollback leads."""
    with workspace.layout.config.open("a", encoding="utf-8") as config:
        config.write("\n[retention]\nkeep_snapshot_days = 0\nkeep_snapshots = 1\n")
    opened = lifelong.open(workspace.home)
    for fact in opened.log.facts()[:3]:
        opened.retract([fact.ref], reason="wrong", actor="ada")


def gc(workspace: Workspace) -> None:
    workspace.gc(actor="ada", reason="a test")


def nothing(_: Workspace) -> None:
    pass


def redact(workspace: Workspace) -> None:
    workspace.redact(["f4"], actor="ada", reason="asked")


VERBS = (
    Verb("ingest", nothing, ingest, ingest),
    Verb("run", ingest, run, run),
    Verb("retract", nothing, retract, retract_again),
    Verb("rebuild", unserved, lambda workspace: workspace.rebuild(), lambda workspace: workspace.rebuild()),
    Verb("recover", damaged, recover, recover),
    Verb("gc", aged, gc, gc),
    Verb("redact", nothing, redact, redact),
)


def state(home: Path) -> dict[str, Any]:
    """What must be the same however often a verb was interrupted: what the log says and what is served."""
    workspace = lifelong.open(home)
    assert workspace.log.verify() == []
    snapshots = workspace.layout.snapshots
    snapshot = read_snapshot(snapshots, current_id(snapshots) or "")
    packs = [read_pack(workspace.layout.experts, name) for name in snapshot.manifest.packs]
    held = {expert for pack in packs for expert in pack.hashes}
    return {
        "facts": sorted((one.fact.prompt, one.status, one.expert or "") for one in workspace.log.facts()),
        "served": sorted((one.fact.prompt, one.expert or "") for one in snapshot.facts),
        "missing": {one.expert for one in snapshot.facts if one.expert} - held,
        "behind": workspace.status().snapshot_behind,
    }


def whole(home: Path, before: set[str]) -> None:
    """What a reader finds right after the fault: nothing acknowledged is lost, what is served is served whole."""
    log = EditLog(home / "log")
    assert before <= {fact.fact.prompt for fact in log.facts()}
    snapshots = home / "snapshots"
    if snapshot := current_id(snapshots):
        for name in read_snapshot(snapshots, snapshot).manifest.packs:
            read_pack(home / "experts", name)


@dataclass(frozen=True)
class Prepared:
    """A workspace in which a verb is to be done, the points that it passes, and what it must come to."""

    verb: Verb
    home: Path
    points: list[str]
    before: set[str]
    expected: dict[str, Any]


@pytest.fixture(autouse=True)
def an_hour_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has just gone out of use may go at once."""
    monkeypatch.setattr(retention, "GRACE", timedelta(0))


@pytest.fixture(scope="module")
def prepared(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Verb], Prepared]:
    def prepare(verb: Verb) -> Prepared:
        home = shutil.copytree(published_home, tmp_path_factory.mktemp(verb.name) / "home")
        before = {fact.fact.prompt for fact in EditLog(home / "log").facts()}
        verb.ready(lifelong.open(home))
        undisturbed = shutil.copytree(home, home.parent / "undisturbed")
        with pytest.MonkeyPatch.context() as patch:
            points = points_passed(patch, lambda: verb.act(lifelong.open(undisturbed)))
        stay = {fact.fact.prompt for fact in EditLog(undisturbed / "log").facts()}
        return Prepared(verb, home, sorted(points), before & stay, state(undisturbed))

    return prepare


def interrupted(ready: Prepared, home: Path, point: str, fault: str) -> None:
    """Do the verb with a fault at one of its points; look at what is left; do it again, and look again."""
    shutil.copytree(ready.home, home)
    verb = ready.verb
    if fault == "crash":
        die(lambda: verb.act(lifelong.open(home)), point)
    else:
        with failing(point, fault), contextlib.suppress(LifelongError):  # a cache that fails is no failure of the verb
            verb.act(lifelong.open(home))
    if verb.name != "recover":  # a damaged log is damaged until it is recovered
        whole(home, ready.before)
    verb.again(lifelong.open(home))
    assert state(home) == ready.expected, (verb.name, point, fault)
    shutil.rmtree(home)


def faults(points: list[str]) -> Iterator[tuple[str, str]]:
    return ((point, fault) for point in points for fault in FAULTS)


@pytest.mark.crash
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_fault_at_every_point(prepared: Callable[[Verb], Prepared], tmp_path: Path, verb: Verb) -> None:
    ready, began = prepared(verb), time.process_time()
    assert len(ready.points) >= 2
    for number, (point, fault) in enumerate(faults(ready.points)):
        interrupted(ready, tmp_path / str(number), point, fault)
    count = len(ready.points) * len(FAULTS)
    seconds = time.process_time() - began
    print(f"{verb.name}: {len(ready.points)} points, {count} faults, invariants hold in all ({seconds:.0f} s of CPU)")


@pytest.mark.parametrize("point", ["current.rename.before", "snapshot.rename.after"])
def test_a_retraction_that_dies_while_it_publishes_is_carried_on(
    prepared: Callable[[Verb], Prepared], tmp_path: Path, point: str
) -> None:
    interrupted(prepared(VERBS[2]), tmp_path / "home", point, "crash")
