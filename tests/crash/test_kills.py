"""Commands killed from outside: what was acknowledged is there, nothing is there by half, the next command heals.

A stage is what one command does. It is killed again and again, each time with something new to do; what the log then
says must be what it said before or what it says once the same command has been let through, and where the command had
ended well, the latter. In the end there is what there would be had nobody killed anything.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kills
import pytest

import lifelong
from editlog.store import EditLog
from lifelong.experts.pack import read_pack
from lifelong.snapshots.snapshot import current_id, read_snapshot

BATCH = 200
KILLS = 10

State = frozenset[tuple[Any, ...]]


@dataclass(frozen=True)
class Stage:
    """A command; `ready` gives it something to do for the n-th time and returns its arguments.

    `then` is the command that carries on where the same one again has nothing left to do.
    """

    name: str
    ready: Callable[[Path, int], tuple[str, ...]]
    seeds: range
    then: tuple[str, ...] | None = None


def a_batch(home: Path, number: int) -> tuple[str, ...]:
    """Ingest a file of facts that no other batch has."""
    path = home.parent / f"batch-{number}.jsonl"
    facts = [{"prompt": f"Batch {number}, prompt {n} is", "target": "one"} for n in range(BATCH)]
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    return "ingest", str(path)


def a_job(home: Path, number: int) -> tuple[str, ...]:
    """Run a job over two facts that have been acknowledged."""
    path = home.parent / f"facts-{number}.jsonl"
    facts = [{"prompt": f"The trade of Mira {n} Sand {number} is", "target": "miller"} for n in range(2)]
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    assert lifelong.open(home).ingest(path, actor="ada").accepted == 2
    return ("run",)


def a_retraction(home: Path, number: int) -> tuple[str, ...]:
    """Take a fact back, and publish what is left."""
    return "retract", "--reason", "wrong", EditLog.open(home / "log").facts()[number].ref


def a_merge(home: Path, number: int) -> tuple[str, ...]:
    """Make one expert of two that a job has just trained, on facts that ask alike and answer the same."""
    path = home.parent / f"alike-{number}.jsonl"
    lands = (f"Osterland {number}", f"Norrland {number}")
    facts = [{"prompt": f"The capital of {land} is", "target": "Marbeck", "subject": land} for land in lands]
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    opened = lifelong.open(home)
    assert opened.ingest(path, actor="ada").accepted == 2
    opened.run(actor="ada")
    return "merge", "--budget", str(len(opened.experts()) - 1)


# A line here is all that a new stage needs; ten kills for each seed.
STAGES = (
    Stage("ingest", a_batch, range(100, 108)),
    Stage("run", a_job, range(200, 205)),
    Stage("publish", a_retraction, range(300, 304), then=("run",)),
    Stage("merge", a_merge, range(400, 403)),
)


def logged(home: Path) -> State:
    """What the log says of each fact; also that it is whole."""
    log = EditLog.open(home / "log")
    assert log.verify() == []
    return frozenset((fact.fact.prompt, fact.status, fact.expert) for fact in log.facts())


def served(home: Path) -> State:
    """What a reader is served, whole."""
    snapshot = read_snapshot(home / "snapshots", current_id(home / "snapshots") or "")
    packs = [read_pack(home / "experts", name) for name in snapshot.manifest.packs]
    held = {expert for pack in packs for expert in pack.hashes}
    assert {fact.expert for fact in snapshot.facts if fact.expert} <= held
    return frozenset((fact.fact.prompt, fact.expert) for fact in snapshot.facts)


def let_through(stage: Stage, home: Path, command: tuple[str, ...]) -> None:
    """The command again, and nobody kills it; 2: it says that nothing is left to do."""
    assert kills.finish(home, *command) in (0, 2, 3)
    if stage.then:
        assert kills.finish(home, *stage.then) in (0, 3)


Undisturbed = Callable[[Stage, int], tuple[State, State]]


@pytest.fixture(scope="module")
def undisturbed(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a stage comes to where nobody kills anything."""

    @cache
    def done(stage: Stage, count: int) -> tuple[State, State]:
        home = shutil.copytree(published_home, tmp_path_factory.mktemp(stage.name) / "home")
        for number in range(count):
            let_through(stage, home, stage.ready(home, number))
        return logged(home), served(home)

    return done


@pytest.fixture(scope="module")
def pace(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Stage], kills.Pace]:
    """How fast the installed command is."""

    @cache
    def measured(stage: Stage) -> kills.Pace:
        home = shutil.copytree(published_home, tmp_path_factory.mktemp(stage.name) / "home")
        return kills.measured(home, *stage.ready(home, 0))

    return measured


def kill_each(stage: Stage, home: Path, moments: list[kills.Moment]) -> int:
    """Kill the stage at one moment after another; how many commands were not over before."""
    killed = 0
    for number, moment in enumerate(moments):
        command = stage.ready(home, number)
        before = logged(home)
        acknowledged = kills.kill(kills.start(home, *command), home, moment)
        killed += not acknowledged
        found, shown = logged(home), served(home)
        let_through(stage, home, command)
        after = logged(home), served(home)
        assert found in (before, after[0]), f"kill {number}: a part of what {stage.name} does is there"
        assert not acknowledged or (found, shown) == after, f"kill {number}: what was acknowledged is lost"
    return killed


@pytest.fixture
def home(published_home: Path, tmp_path: Path) -> Path:
    """A workspace of one's own, in which a dozen facts are applied."""
    return shutil.copytree(published_home, tmp_path / "home")


def test_two_ingests_killed(home: Path, pace: Callable[[Stage], kills.Pace], undisturbed: Undisturbed) -> None:
    kill_each(STAGES[0], home, kills.moments(1, 2, pace(STAGES[0])))
    assert (logged(home), served(home)) == undisturbed(STAGES[0], 2)


@pytest.mark.crash
@pytest.mark.parametrize(
    ("stage", "seed"), [pytest.param(one, seed, id=f"{one.name}-{seed}") for one in STAGES for seed in one.seeds]
)
def test_ten_kills(
    home: Path, pace: Callable[[Stage], kills.Pace], undisturbed: Undisturbed, stage: Stage, seed: int
) -> None:
    killed = kill_each(stage, home, kills.moments(seed, KILLS, pace(stage)))
    assert (logged(home), served(home)) == undisturbed(stage, KILLS)
    assert not lifelong.open(home).status().snapshot_behind
    print(
        f"kill -9 of {stage.name}, seed {seed}: {KILLS} runs, {killed} killed, nothing acknowledged lost, none by half"
    )
