"""Many nights on a virtual clock, with one fault in ten steps: nothing is lost, doubled or left behind."""

from __future__ import annotations

import io
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lifelong
from editlog import failpoints
from editlog.errors import LifelongError
from editlog.store import EditLog
from lifelong.jobs.lease import read_owner
from lifelong.jobs.progress import Silent
from lifelong.verbs import collecting
from lifelong.workspace import Workspace
from policies.audit import Limits

FAULTS = ("crash", "full disk", "lost lease", "clock jump", "failing audit")
DISK = ("pack.write.before", "snapshot.rename.before", "head.next.write.before", "current.write.before")
PLACES = ("Kirnach", "Lindby", "Corvale", "Dunmere", "Selmouth", "Marbeck", "Tarvia", "Norrland", "Osterland")
THINGS = ("river", "capital", "currency", "author", "mountain", "language")


class Fate(Silent):
    """What befalls one job: at each of its steps, one in ten, something goes wrong."""

    def __init__(self, home: Path, draw: Random) -> None:
        self._home, self._draw = home, draw

    def stage(self, name: str, total: int) -> None:
        self.advance(0)

    def advance(self, n: int) -> None:
        if self._draw.random() >= 0.1:
            return
        match self._draw.choice(FAULTS):
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "full disk":
                os.environ[failpoints.VARIABLE] = f"{self._draw.choice(DISK)}=ENOSPC"
            case "lost lease":
                (self._home / "runs" / "LOCK").unlink(missing_ok=True)
            case "clock jump":
                World.now += timedelta(hours=self._draw.choice([-30, -1, 1, 30]))
            case "failing audit":
                Limits.held_by = lambda *_: False  # type: ignore[method-assign]


class World(Workspace):
    """A workspace whose log goes by a clock of our own."""

    now = datetime(2027, 1, 1, 3, 0, tzinfo=UTC)

    @property
    def log(self) -> EditLog:
        return EditLog.open(self.layout.log, clock=lambda: World.now, replica=self.layout.replica)


def facts_of(night: int, draw: Random) -> list[dict[str, Any]]:
    """Two new facts, and now and then a correction of an older one."""
    places, things = len(PLACES), len(THINGS)
    numbers = [2 * night, 2 * night + 1, *([draw.randrange(2 * night)] if night and draw.random() < 0.3 else [])]
    return [
        {
            "prompt": f"The {THINGS[i % things]} of {PLACES[i // things % places]} is",
            "target": draw.choice(PLACES),
            "subject": PLACES[i // things % places],
            "id": f"{night}/{i}",
        }
        for i in numbers
    ]


def run_in_a_process(world: World, draw: Random) -> int:
    """One job in a process of its own: its exit code, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = world.run(actor="night", progress=Fate(world.home, draw)).exit_code
        except LifelongError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def live_through(world: World, nights: int, seed: int) -> tuple[Counter[int], list[int]]:
    """So many nights; the exit codes, and the length of the log after each."""
    codes: Counter[int] = Counter()
    lengths: list[int] = []
    previous = world.log.head()
    for night in range(nights):
        draw = Random(f"{seed}/{night}")
        World.now += timedelta(days=1)
        records = facts_of(night, draw)
        world.ingest(io.BytesIO("".join(json.dumps(one) + "\n" for one in records).encode()), actor="ada")
        codes[run_in_a_process(world, draw)] += 1
        head = world.log.head()
        (same,) = world.log.events(after=previous.seq - 1, limit=1)
        assert (same.hash, head.seq >= previous.seq) == (previous.hash, True), "the head moves forward only"
        previous = head
        lengths.append(head.seq)
    return codes, lengths


def check(world: World, nights: int) -> None:
    """After a last night without faults everything that came in has an outcome, once, and nothing is left behind."""
    while world.run(actor="night").status != "nothing-pending":
        pass
    assert world.log.verify() == []
    facts = world.log.facts()
    assert len(facts) >= 2 * nights
    assert not [fact.ref for fact in facts if fact.status == "pending"]
    applied = Counter(item["fact"] for e in world.log.events(kinds=["facts.applied"]) for item in e.body["facts"])
    assert set(applied.values()) == {1}, "no fact is applied twice"
    assert not world.status().snapshot_behind
    assert [one.detail for one in world.doctor() if not one.ok] == []
    assert read_owner(world.home / "runs" / "LOCK") is None
    world.gc(actor="night")
    for directory in (world.layout.snapshots, world.layout.experts, world.layout.runs):
        assert not [path.name for path in directory.glob(".*")]
    assert not (world.layout.snapshots / "candidate").exists()
    needed = {pack for snapshot in collecting.kept_manifests(world.layout.snapshots) for pack in snapshot.packs}
    assert {path.stem for path in world.layout.experts.glob("*.safetensors")} <= needed


@pytest.fixture
def world(tmp_path: Path, make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(World, "now", World.now)
    monkeypatch.setattr(collecting, "_LEFTOVER_SECONDS", -1.0)
    made = make_workspace(tmp_path / "home", training={"steps": 20, "retry_steps": 20})
    world = World(made.layout, lifelong.open(made.home).config)
    world.load_base()
    return world


def test_three_nights(world: World) -> None:
    live_through(world, 3, seed=4)
    check(world, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_thirty_nights(world: World, seed: int) -> None:
    codes, lengths = live_through(world, 30, seed)
    assert codes[0] + codes[3] < 30, "no fault came through"
    check(world, 30)
    half, whole = lengths[14], lengths[29]
    assert whole < 3 * half, "the log grows with what happens, not faster"
