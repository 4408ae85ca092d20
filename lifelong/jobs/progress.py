"""Progress: who is told how far a job is, and the limits that are asked at every step of it."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from editlog.errors import LifelongError

GRACE_SECONDS = 120.0


class Progress(Protocol):
    """Who is told how far a job is: a bar, a log, or nobody."""

    def stage(self, name: str, total: int) -> None:
        """A new stage of `total` units begins."""

    def advance(self, n: int) -> None:
        """`n` more units are done."""

    def done(self) -> None:
        """The last stage is over."""


class Silent:
    """Progress for nobody."""

    def stage(self, name: str, total: int) -> None:
        """Nothing is shown."""

    def advance(self, n: int) -> None:
        """Nothing is shown."""

    def done(self) -> None:
        """Nothing is shown."""


class Guarded:
    """Progress that asks `check` first, at every stage and step: what it raises ends the job there."""

    def __init__(self, inner: Progress, check: Callable[[], None]) -> None:
        self._inner, self._check = inner, check

    def stage(self, name: str, total: int) -> None:
        """Tell of a stage, if the job may go on."""
        self._check()
        self._inner.stage(name, total)

    def advance(self, n: int) -> None:
        """Tell of `n` units, if the job may go on."""
        self._check()
        self._inner.advance(n)

    def done(self) -> None:
        """Tell that the last stage is over."""
        self._inner.done()


class TimeUp(LifelongError):
    """A job took longer than it may; what it finished is kept."""


@contextmanager
def stopped_after(minutes: float | None) -> Iterator[Callable[[], None]]:
    """Stop a job that is not over in time; yields a check that raises TimeUp once it should end.

    A job that hangs where nothing asks the check is ended with the process, exit code 1, after `GRACE_SECONDS` more:
    where each thread stood goes to stderr, and the next run carries on as after any crash.
    """
    if minutes is None:
        yield lambda: None
        return
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > minutes * 60:
            raise TimeUp(
                f"the job was stopped after {minutes:g} minutes (max_minutes); the waves it finished are kept, and"
                " the next `lifelong run` carries on behind them"
            )

    faulthandler.dump_traceback_later(minutes * 60 + GRACE_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield check
    finally:
        faulthandler.cancel_dump_traceback_later()
