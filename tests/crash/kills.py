"""SIGKILL from outside, at moments that nobody chose, on the command line as it is installed.

Half of the moments are anywhere in the life of the process, half in the milliseconds in which it writes: these begin
when LENGTH goes, which every writer of the log takes away first. A seed draws the same moments again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

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
    """The exit code of a command that nobody kills."""
    process = start(home, *arguments)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 3), told.decode()
    return process.returncode


@dataclass(frozen=True)
class Moment:
    """So many seconds behind the start of the process, or behind that of its write."""

    seconds: float
    writing: bool


def moments(seed: int, kills: int, *, life: float, write: float) -> list[Moment]:
    """Moments for processes that live and write so many seconds."""
    random = Random(seed)
    return [
        Moment(random.uniform(0, write), True) if random.random() < 0.5 else Moment(random.uniform(0, life), False)
        for _ in range(kills)
    ]


def kill(process: subprocess.Popen[bytes], home: Path, moment: Moment) -> bool:
    """SIGKILL at the moment; whether the command had acknowledged its work, by ending well before."""
    deadline = time.monotonic() + PATIENCE
    while moment.writing and (home / "log" / "LENGTH").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the write never began"
        time.sleep(0.0005)
    time.sleep(moment.seconds)
    process.kill()
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, -9), told.decode()
    return process.returncode == 0


def measured(home: Path, *arguments: str) -> tuple[float, float]:
    """How long an undisturbed command lives, and how long it is from the start of its write to its end; seconds."""
    began = wrote = time.monotonic()
    process = start(home, *arguments)
    while process.poll() is None:
        if (home / "log" / "LENGTH").exists() and wrote == began:
            time.sleep(0.0005)
            continue
        if wrote == began:
            wrote = time.monotonic()
        time.sleep(0.0005)
    assert process.wait() == 0, (process.stderr and process.stderr.read()) or ""
    ended = time.monotonic()
    return ended - began, ended - wrote
