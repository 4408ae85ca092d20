"""The lease on a workspace: one owner at a time may change what is served, and its heartbeat says that it lives.

`runs/LOCK` is locked with flock for as long as its owner lives, and holds one line about that owner. Where flock is
conclusive, nothing else counts: kill -9 frees it at once. Where it is not (a child of a dead owner still holds it, the
folder is shared by machines that do not see each other's locks), the heartbeat decides: an owner that has been silent
for `TTL` seconds, counted by the clock of whoever watches, is dead, and the file is put anew. No decision to take over
is made on the wall clock, so that neither clock may jump anybody out of a lease. An owner that slept through its own
end finds that out in `Lease.check`, which stands before every stage and before every write.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from editlog.errors import Busy
from editlog.lock import still_named

TTL = 60.0
BEAT = 15.0
_LINE = 1024
_LOOK = 0.5


class LeaseLost(Busy):
    """Another process took the lease over while its owner slept or its file was deleted: the owner must stop."""


def _steady() -> float:
    """Seconds that go on while the machine sleeps, and never jump."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True)
class Clock:
    """The clocks a lease is kept by, in seconds; a test brings its own. `wall` counts from 1970."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = _steady
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Owner:
    """Who holds a lease. `boot` names one run of one machine, `token` one holding; times are in seconds since 1970."""

    token: str
    actor: str
    host: str
    boot: str
    pid: int
    since: float
    beat_at: float
    beats: int = 0

    def __str__(self) -> str:
        """The owner as a message names it."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return f"process {self.pid} of {self.actor} on {self.host}, since {since}"


class Lease:
    """A lease that is held: whoever holds it may write, and asks `check` before doing so."""

    def __init__(self, path: Path, descriptor: int, owner: Owner, clock: Clock) -> None:
        self._path, self._descriptor, self._clock = path, descriptor, clock
        self.owner = owner
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        self._say(owner)
        self._beats.start()

    def check(self) -> None:
        """Raise LeaseLost unless the lease is still this one's."""
        told = _owner_at(self._descriptor) if still_named(self._descriptor, self._path) else read_owner(self._path)
        if told is None or told.token != self.owner.token:
            by = f" by {told}" if told else ""
            raise LeaseLost(f"the lease {self._path} was taken over{by}: this process stops, and nothing is lost")

    def beat(self) -> None:
        """Say that the owner lives; a failing disk costs a beat, and no more."""
        with suppress(OSError, LeaseLost):
            self.check()
            self._say(replace(self.owner, beats=self.owner.beats + 1, beat_at=self._clock.wall()))

    def release(self) -> None:
        """Give the lease back: the next one need not wait for anything."""
        self._over.set()
        self._beats.join()
        with suppress(OSError, LeaseLost):
            self.check()
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _say(self, owner: Owner) -> None:
        line = json.dumps(asdict(owner)).encode().ljust(_LINE - 1) + b"\n"
        os.pwrite(self._descriptor, line, 0)
        self.owner = owner

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT):
            self.beat()


@contextmanager
def leased(path: Path, *, actor: str, clock: Clock | None = None) -> Iterator[Lease]:
    """Hold the lease at `path`; raises Busy, naming the owner, while another holds it."""
    lease = _take(path, actor, clock or Clock())
    try:
        yield lease
    finally:
        lease.release()


def read_owner(path: Path) -> Owner | None:
    """The owner that a lease names; None where it is free, or cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _owner_at(descriptor)
    finally:
        os.close(descriptor)


def _take(path: Path, actor: str, clock: Clock) -> Lease:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        locked = _flock(descriptor)
        found = _owner_at(descriptor)
        if not still_named(descriptor, path):  # someone put it anew while we came
            os.close(descriptor)
        elif locked and (found is None or found.boot == _boot()):
            return Lease(path, descriptor, _myself(actor, clock), clock)
        elif found is None or not _is_silent(path, found, clock):
            os.close(descriptor)
            raise Busy(
                f"another job holds {path.parent.parent}: {found or 'it has just begun'}; try again when it is done"
            )
        else:
            _put_away(path, descriptor)
            os.close(descriptor)


def _is_silent(path: Path, owner: Owner, clock: Clock) -> bool:
    """Watch a heartbeat until it comes, or for `TTL`; one that has come lately need not be watched."""
    if 0 <= clock.wall() - owner.beat_at < 2 * BEAT:
        return False
    began = clock.steady()
    while clock.steady() - began < TTL:
        clock.sleep(_LOOK)
        if read_owner(path) != owner:
            return False
    return True


def _put_away(path: Path, descriptor: int) -> None:
    """Take a dead owner's file out of the way, one comer at a time, so that nobody takes away that of a living one."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if still_named(descriptor, path):
            path.unlink()
    finally:
        os.close(directory)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner_at(descriptor: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(descriptor, _LINE, 0)))
    except (ValueError, TypeError):
        return None


def _myself(actor: str, clock: Clock) -> Owner:
    now = clock.wall()
    return Owner(secrets.token_hex(8), actor, platform.node(), _boot(), os.getpid(), now, now)


def _boot() -> str:
    """A name of this run of this machine: what dies with it cannot hold a lease any more."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
