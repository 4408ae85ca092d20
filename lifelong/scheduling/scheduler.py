"""The scheduler in the foreground: waits for the next moment, runs one job, remembers that it did.

What was missed while nobody ran it, however often, is caught up once. A clock that jumps starts nothing twice and
stops nothing: a moment that is behind us is due once, and one that was remembered from a clock far ahead is
forgotten. Asked to stop, it interrupts the job under way, which the next one resumes, and ends.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Protocol

from editlog.errors import Busy, PartlyDone
from editlog.events import moment as written
from lifelong.files import write_atomically
from lifelong.scheduling.schedule import Schedule
from lifelong.scheduling.units import BUSY_AGAIN_SECONDS, BUSY_TIMES

LOOK_AGAIN_SECONDS = 60.0
A_CLOCK_THAT_WAS_WRONG = timedelta(days=1)
STOP_GRACE_SECONDS = 60.0
_log = logging.getLogger("lifelong.schedule")


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """The moment, aware."""

    def wait(self, seconds: float) -> bool:
        """Wait; True, at once, where the scheduler is asked to stop."""


class SystemClock:
    """The machine's clock; `stop` makes every wait end."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`, or until asked to stop."""
        return self.stop.wait(seconds)


class Memory:
    """The last moment that was dealt with, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> datetime | None:
        """The moment; None where there is none that can be read."""
        try:
            kept = datetime.fromisoformat(self._path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            return None
        return kept if kept.tzinfo else None

    def keep(self, due: datetime) -> None:
        """Remember that everything due up to `due` was dealt with."""
        write_atomically(self._path, f"{written(due)}\n".encode())


class Scheduler:
    """Runs `job`, which returns an exit code, at every moment of the schedule until it is asked to stop."""

    def __init__(self, schedule: Schedule, job: Callable[[], int], memory: Memory, clock: Clock) -> None:
        self._schedule = schedule
        self._job = job
        self._memory = memory
        self._clock = clock

    def serve(self) -> None:
        """Wait and run until stopped; what is due when it starts runs at once."""
        dealt_with = self._beginning()
        stopped = False
        while not stopped:
            upcoming = self._schedule.next_after(dealt_with)
            now = self._clock.now()
            if now < upcoming:
                stopped = self._clock.wait(min((upcoming - now).total_seconds(), LOOK_AGAIN_SECONDS))
            else:
                due = self._schedule.last_until(now)
                stopped = not self._run(due)
                if not stopped:
                    dealt_with = self._dealt_with(due)

    def _beginning(self) -> datetime:
        """What was dealt with before this process; on the first start nothing was missed."""
        now, remembered = self._clock.now(), self._memory.read()
        if remembered is None:
            return self._dealt_with(now)
        if remembered > now + A_CLOCK_THAT_WAS_WRONG:
            _log.warning("the last job seems to lie at %s, far ahead of the clock: forgotten", written(remembered))
            return self._dealt_with(now)
        return remembered

    def _dealt_with(self, due: datetime) -> datetime:
        self._memory.keep(due)
        _log.info("next job at %s", written(self._schedule.next_after(self._clock.now())))
        return due

    def _run(self, due: datetime) -> bool:
        """Run the job that was due, again while the workspace is busy; False where asked to stop."""
        for _ in range(BUSY_TIMES):
            _log.info("job due at %s starts", written(due))
            code = self._job()
            if self._clock.wait(0):
                return False
            level = logging.INFO if code in (0, PartlyDone.exit_code, Busy.exit_code) else logging.ERROR
            _log.log(level, "job ended with exit code %d", code)
            if code != Busy.exit_code:
                return True
            if self._clock.wait(BUSY_AGAIN_SECONDS):
                return False
        _log.warning("the workspace stayed busy; what is pending waits for the next job")
        return True


def run_command(words: Sequence[str], clock: SystemClock) -> int:
    """Run a command to its end and return its exit code; asked to stop, interrupt it, and kill it if it lingers.

    It has a session of its own, so that a Ctrl-C reaches it once, through us. Called under `stopped_by_signals`, it
    can be interrupted even where whoever started us ignores SIGINT: what we catch, it begins with as the default.
    """
    with subprocess.Popen(list(words), stdin=subprocess.DEVNULL, start_new_session=True) as process:  # noqa: S603
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.5)
            if clock.stop.is_set():
                process.send_signal(signal.SIGINT)
                try:
                    return process.wait(timeout=STOP_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextlib.contextmanager
def stopped_by_signals(clock: SystemClock) -> Iterator[None]:
    """SIGTERM and SIGINT ask the scheduler to stop, inside; the main thread's only."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        clock.stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
