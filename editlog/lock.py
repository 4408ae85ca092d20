"""Who may touch the log now: many readers or one writer, between processes and threads, for milliseconds.

`LOCK` is the lock itself. `TURN` is a turnstile every comer passes first, and that a waiting writer keeps
shut, so that a stream of overlapping readers cannot keep a writer out for ever.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from editlog.errors import Busy

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


@dataclass(frozen=True)
class Held:
    """The lock, as its holder has it."""

    descriptor: int
    path: Path

    def is_the_one(self) -> bool:
        """Whether others who come now wait for this lock: not where someone has deleted its file meanwhile."""
        return still_named(self.descriptor, self.path)


@contextmanager
def locked(directory: Path, *, shared: bool, timeout: float) -> Iterator[Held]:
    """Hold the log, shared (to read) or alone (to write); raises Busy after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    turn = _acquire(directory / "TURN", shared=shared, deadline=deadline)
    try:
        lock = _acquire(directory / "LOCK", shared=shared, deadline=deadline)
    finally:
        os.close(turn)
    try:
        yield Held(lock, directory / "LOCK")
    finally:
        os.close(lock)


def _acquire(path: Path, *, shared: bool, deadline: float) -> int:
    """Return an open descriptor that holds the lock; closing it, or dying, gives the lock back."""
    pause = _FIRST_PAUSE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if _try(descriptor, shared) and still_named(descriptor, path):
            return descriptor
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise Busy(f"the edit log in {path.parent} is held by another process: try again in a moment")
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the comers, guards nothing
        pause = min(2 * pause, _LONGEST_PAUSE)


def _try(descriptor: int, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def still_named(descriptor: int, path: Path) -> bool:
    """Whether the locked file is the one others will find: someone may have deleted it while we waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
