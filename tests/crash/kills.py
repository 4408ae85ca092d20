"""SIGKILL from outside, at moments that nobody chose, on the command line as it is installed.

Half of the moments are anywhere in the life of the process, half in the time in which it writes: this begins when
LENGTH goes, which every writer of the log takes away first. A seed draws the same moments again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from click.testing import CliRunner

from lifelong.cli import main

PATIENCE = 900  # seconds; a machine that is busy is no failure
INSTALLED = Path(sys.executable).with_name("lifelong")
COMMAND = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "lifelong"]


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`lifelong ARGUMENTS --home HOME` in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments, "--home", str(home)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(home: Path, *arguments: str) -> int:
    """The exit code of a command that nobody kills: the same command line, in this process."""
    done = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code


@dataclass(frozen=True)
class Moment:
    """So many seconds behind the start of the process, or behind that of its write."""

    seconds: float
    writing: bool


@dataclass(frozen=True)
class Pace:
    """How long a command lives that nobody kills, and how long it is from its first write to its end; seconds."""

    life: float
    write: float


def moments(seed: int, kills: int, pace: Pace) -> list[Moment]:
    """Moments for processes of that pace."""
    random = Random(seed)
    return [
        Moment(random.uniform(0, pace.write), True)
        if random.random() < 0.5
        else Moment(random.uniform(0, pace.life), False)
        for _ in range(kills)
    ]


def kill(process: subprocess.Popen[bytes], home: Path, moment: Moment) -> bool:
    """SIGKILL at the moment; whether the command had acknowledged its work, by ending well before."""
    if moment.writing:
        _wait_for_the_write(process, home)
    time.sleep(moment.seconds)
    process.kill()
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 3, -9), told.decode()
    return process.returncode != -9


def measured(home: Path, *arguments: str) -> Pace:
    """The pace of a command that nobody kills."""
    began = time.monotonic()
    process = start(home, *arguments)
    _wait_for_the_write(process, home)
    wrote = time.monotonic()
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 3), told.decode()
    ended = time.monotonic()
    return Pace(ended - began, ended - wrote)


def _wait_for_the_write(process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while (home / "log" / "LENGTH").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the write never began"
        time.sleep(0.0005)
