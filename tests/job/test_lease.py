"""One owner at a time: by a lock that dies with its owner, and by a heartbeat where no lock can tell."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from editlog.errors import Busy
from lifelong.jobs.lease import BEAT, TTL, Clock, Lease, LeaseLost, Owner, leased, read_owner


class Hands:
    """Clocks that a test moves: the wall may jump, the steady one only goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, steady=lambda: self.steady, sleep=self.sleep)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs" / "LOCK"


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def held(path: Path, hands: Hands) -> Iterator[Lease]:
    with leased(path, actor="ada", clock=hands.clock) as lease:
        yield lease


def write(path: Path, owner: Owner) -> None:
    """Another machine's owner, whose lock this machine does not see."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")


def elsewhere(hands: Hands, beat_at: float) -> Owner:
    return Owner("t", "bob", "other", "another-boot", 7, since=hands.wall - 500, beat_at=beat_at)


def test_a_second_owner_is_told_who_the_first_is(path: Path, held: Lease, hands: Hands) -> None:
    told = rf"another job holds .*process {os.getpid()} of ada.*try again"
    with pytest.raises(Busy, match=told), leased(path, actor="bob", clock=hands.clock):
        pass
    held.check()


def test_a_lease_that_was_given_back_is_free_at_once(path: Path, hands: Hands) -> None:
    for actor in ("ada", "bob"):
        with leased(path, actor=actor, clock=hands.clock):
            found = read_owner(path)
            assert found is not None
            assert found.actor == actor
    assert read_owner(path) is None
    assert [file.name for file in path.parent.iterdir()] == ["LOCK"]


def test_the_lease_of_an_owner_that_was_killed_is_free_at_once(path: Path, hands: Hands) -> None:
    code = (
        "import sys, time; from pathlib import Path; from lifelong.jobs.lease import leased\n"
        "with leased(Path(sys.argv[1]), actor='ada'):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(Busy), leased(path, actor="bob"):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with leased(path, actor="bob", clock=hands.clock) as lease:
        lease.check()
    assert hands.steady == 50.0, "nobody had to wait"


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_jumps_takes_no_lease_from_an_owner_that_beats(path: Path, hands: Hands, jump: float) -> None:
    owner = elsewhere(hands, hands.wall)
    write(path, owner)
    hands.wall += jump

    def sleep(seconds: float) -> None:
        hands.sleep(seconds)
        if hands.steady > 50.0 + BEAT:
            write(path, replace(owner, beats=1))

    with pytest.raises(Busy, match="bob on other"), leased(path, actor="ada", clock=replace(hands.clock, sleep=sleep)):
        pass
    assert hands.steady < 50.0 + TTL


def test_an_owner_elsewhere_that_is_silent_for_a_lease_is_dead(path: Path, hands: Hands) -> None:
    write(path, elsewhere(hands, beat_at=hands.wall - 500))
    with leased(path, actor="ada", clock=hands.clock) as lease:
        lease.check()
    assert hands.steady >= 50.0 + TTL


def test_a_dead_owners_child_that_holds_the_lock_keeps_nobody_out(path: Path, hands: Hands) -> None:
    write(path, elsewhere(hands, beat_at=hands.wall - 500))
    orphan = path.open("rb")
    fcntl.flock(orphan, fcntl.LOCK_EX)
    with leased(path, actor="ada", clock=hands.clock) as lease:
        lease.check()
    orphan.close()


def test_an_owner_that_slept_through_its_end_finds_out(path: Path, held: Lease, hands: Hands) -> None:
    path.unlink()
    with leased(path, actor="bob", clock=hands.clock) as theirs:
        with pytest.raises(LeaseLost, match=r"taken over by process .* of bob"):
            held.check()
        held.beat()
        theirs.check()
    with pytest.raises(LeaseLost):
        held.check()


def test_a_heartbeat_says_that_the_owner_lives(path: Path, held: Lease, hands: Hands) -> None:
    hands.sleep(BEAT)
    held.beat()
    found = read_owner(path)
    assert found is not None
    assert (found.beats, found.beat_at, found.since) == (1, hands.wall, hands.wall - BEAT)
