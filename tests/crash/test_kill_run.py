"""`run` killed from outside with SIGKILL, at moments nobody chose, loses nothing: the next `run` finishes the job."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import kills
import pytest

import lifelong
from lifelong.workspace import Workspace

pytestmark = pytest.mark.crash

Records = tuple[dict[str, Any], ...]


class Run:
    """`lifelong run` in a process of its own."""

    def __init__(self, home: Path) -> None:
        self._lock = home / "runs" / "LOCK"
        self._lock.unlink(missing_ok=True)
        self._process = kills.start(home, "run")

    def wait_for_the_job(self) -> None:
        """Until the job holds its lock: imports are over, or the process is."""
        deadline = time.monotonic() + kills.PATIENCE
        while not self._lock.exists() and self._process.poll() is None:
            assert time.monotonic() < deadline, "the run never began"
            time.sleep(0.002)

    def finish(self) -> int:
        _, told = self._process.communicate(timeout=kills.PATIENCE)
        assert self._process.returncode in (0, 3), told.decode()
        return self._process.returncode

    def kill(self) -> bool:
        """SIGKILL; whether it came before the end."""
        self._process.kill()
        self._process.communicate(timeout=kills.PATIENCE)
        return self._process.returncode < 0


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace], facts: Records) -> Path:
    """A workspace in which a dozen acknowledged facts wait, to be trained in three waves."""
    import io
    import json

    workspace = make_workspace(tmp_path_factory.mktemp("waiting") / "home", grouping={"mini_batch": 4, "wave": 4})
    workspace.ingest(io.BytesIO("".join(json.dumps(fact) + "\n" for fact in facts).encode()))
    return workspace.home


@pytest.fixture(scope="module")
def undisturbed(waiting: Path) -> tuple[set[str], float]:
    """The experts of a run that nobody kills, and how long its job takes."""
    home = waiting.parent / "undisturbed"
    shutil.copytree(waiting, home)
    run = Run(home)
    run.wait_for_the_job()
    began = time.monotonic()
    assert run.finish() == 0
    return hashes(home), time.monotonic() - began


def hashes(home: Path) -> set[str]:
    return {row.hash for row in lifelong.open(home).experts()}


def kill_and_finish(home: Path, moments: list[float], facts: Records, expected: set[str]) -> int:
    """Kill one run after another so many seconds into its job; then let one finish, and look at everything.

    Returns how many were not over before.
    """
    killed = 0
    for moment in moments:
        run = Run(home)
        run.wait_for_the_job()
        time.sleep(moment)
        killed += run.kill()
        assert lifelong.open(home).log.verify() == []
    assert killed, "every run was over before it was to be killed"
    assert Run(home).finish() == 0
    after = lifelong.open(home)
    assert after.log.verify() == []
    status = after.status()
    assert (status.facts["applied"], status.facts["pending"], status.snapshot_behind) == (12, 0, False)
    assert hashes(home) == expected
    assert [answer.text for answer in after.ask([fact["prompt"] for fact in facts])] == [f["target"] for f in facts]
    return killed


def draw(seed: int, count: int, duration: float) -> list[float]:
    """Moments of the job, early ones first, so that late ones find something left to do."""
    random = Random(seed)
    return sorted(random.uniform(0, 0.9 * duration) for _ in range(count))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_ten_kills(
    tmp_path: Path, waiting: Path, undisturbed: tuple[set[str], float], facts: Records, seed: int
) -> None:
    shutil.copytree(waiting, tmp_path / "home")
    expected, duration = undisturbed
    killed = kill_and_finish(tmp_path / "home", draw(100 + seed, 10, duration), facts, expected)
    print(f"kill -9 of run, seed {100 + seed}: 10 runs, {killed} killed, the same experts in the end, 0 facts lost")
