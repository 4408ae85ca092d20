"""`ingest --spool` raced and killed from outside: what was acknowledged goes into the log once, the rest whole or not.

The log is held meanwhile, so that each of the racers spools; then whoever drains the inbox is killed, too, until one is
let through.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

import kills
import pytest

from editlog import inbox
from editlog.lock import locked
from editlog.store import EditLog
from lifelong.config import Config
from lifelong.layout import Layout

pytestmark = pytest.mark.crash

RACERS, BATCH, DRAINS = 8, 100, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace without a base model: an ingest needs none."""
    layout = Layout(tmp_path_factory.mktemp("made") / "home")
    layout.home.mkdir()
    layout.config.write_text(Config().to_toml())
    EditLog.create(layout.log, actor="ada")
    return layout.home


def batch(folder: Path, name: str, size: int = BATCH) -> str:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{name} {n} is", "target": "one"}) + "\n" for n in range(size)))
    return str(path)


def race(home: Path, names: list[str]) -> list[float]:
    """Race one `ingest --spool` for each name while the log is held; after how many seconds each had ended well."""
    with locked(home / "log", shared=False, timeout=10):
        began = time.monotonic()
        racers = [kills.start(home, "ingest", batch(home.parent, name), "--spool") for name in names]
        ended = [(racer.communicate(timeout=kills.PATIENCE), time.monotonic() - began) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * len(names)
    return [seconds for _, seconds in ended]


def spooled(home: Path, names: list[str], lives: list[float]) -> set[str]:
    """Race one `ingest --spool` for each name while the log is held; which of them had ended well before their end."""
    with locked(home / "log", shared=False, timeout=10):
        racers = [kills.start(home, "ingest", batch(home.parent, name), "--spool") for name in names]
        ended = [kills.kill(racer, home, moment) for racer, moment in zip(racers, _apart(lives), strict=True)]
    return {name for name, acknowledged in zip(names, ended, strict=True) if acknowledged}


def _apart(lives: list[float]) -> list[kills.Moment]:
    """The same moments, each counted from the one before."""
    return [kills.Moment(life - before, False) for before, life in zip([0.0, *lives], lives, strict=False)]


def rows(home: Path) -> Counter[str]:
    """How many facts of each batch the log holds; also that it is whole."""
    log = EditLog.open(home / "log")
    assert log.verify() == []
    return Counter(fact.fact.prompt.split()[0] for fact in log.facts())


def test_racing_ingests_spool_and_all_are_taken_in(made: Path, tmp_path: Path) -> None:
    home = shutil.copytree(made, tmp_path / "home")
    names = [f"racer-{number}" for number in range(RACERS)]
    race(home, names)
    assert inbox.waiting(home / "log").count == RACERS
    assert kills.finish(home, "ingest", batch(tmp_path, "last")) == 0
    assert rows(home) == dict.fromkeys([*names, "last"], BATCH)
    print(f"\n{RACERS} racing `ingest --spool` of a held log: all acknowledged, all in the log once")


@pytest.mark.parametrize("seed", range(400, 403))
def test_spooling_and_draining_killed(made: Path, tmp_path: Path, seed: int) -> None:
    home, random = shutil.copytree(made, tmp_path / "home"), Random(seed)
    names = [f"racer-{number}" for number in range(RACERS)]
    lives = race(shutil.copytree(made, tmp_path / "undisturbed"), names)
    acknowledged = spooled(home, names, sorted(random.uniform(0.8 * min(lives), 1.1 * max(lives)) for _ in names))
    waiting = {json.loads(path.read_bytes().splitlines()[1])["prompt"].split()[0] for path in inbox.files(home / "log")}
    assert acknowledged <= waiting <= set(names)
    pace = kills.measured(shutil.copytree(home, tmp_path / "measured"), "ingest", batch(tmp_path, "drain"))
    for moment in kills.moments(seed, DRAINS, pace):
        kills.kill(kills.start(home, "ingest", batch(tmp_path, "drain")), home, moment)
        assert set(rows(home).values()) <= {BATCH}, "a batch is torn, or there twice"
    assert kills.finish(home, "ingest", batch(tmp_path, "drain")) == 0
    assert rows(home) == dict.fromkeys([*waiting, "drain"], BATCH)
    assert inbox.waiting(home / "log").count == 0
    print(
        f"kill -9 of spooling, seed {seed}: {RACERS} racers, {len(acknowledged)} acknowledged, {len(waiting)} whole in"
        f" the inbox, {DRAINS} drains killed, each in the log once"
    )
