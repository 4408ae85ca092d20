"""Reading where a writer may be at work: the log itself while it can be had, else the replica, and a word about it.

A reader sees its own process's writes as long as the log can be had in `PATIENCE` seconds. Where it cannot, the
answer comes from the replica and stderr says so, with its position and age. Once that has happened, the rest of what
one Fallback is asked comes from the same replica, so that the parts of an answer fit together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from editlog.errors import Busy, LifelongError
from editlog.manifest import MANIFEST
from editlog.reader import Reader
from editlog.replica import Replica
from editlog.schema import Outdated
from editlog.store import EditLog, utc_now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from editlog.head import Head
    from editlog.session import Clock

PATIENCE = 1.0
"""Seconds for which a reader waits for the log, where there is a replica to turn to."""

_ATTEMPTS = 3
_log = logging.getLogger("lifelong.replica")


class Fallback(Reader):
    """A log, and the replica in `directory` for when it is busy; raises Busy where that cannot be read either."""

    def __init__(self, log: EditLog, directory: Path, *, clock: Clock = utc_now) -> None:
        self._log, self._directory, self._clock = log, directory, clock
        self._replica: Replica | None = None

    @classmethod
    def open(cls, log: Path, directory: Path) -> Fallback:
        """Read the log in the folder `log`; where it has no replica yet, wait for it as a writer does.

        What a crash has left is not repaired, for that takes a writer; a log of an older version is brought up to date.
        """
        replicated = (directory / MANIFEST).exists()
        return cls(EditLog(log, timeout=PATIENCE) if replicated else EditLog(log), directory)

    @contextmanager
    def visit(self) -> Iterator[tuple[DuckDBPyConnection, Head]]:
        """A visit to the log, or to the replica; see `Reader.visit`."""
        with ExitStack() as stack:
            yield stack.enter_context(self._replica.visit()) if self._replica else self._enter(stack)

    def _enter(self, stack: ExitStack) -> tuple[DuckDBPyConnection, Head]:
        try:
            return self._visit_log(stack)
        except Busy:
            for _ in range(_ATTEMPTS):
                try:
                    replica = Replica.open(self._directory, clock=self._clock)
                    found = stack.enter_context(replica.visit())
                except Busy:  # made anew between the two lines: open the new one
                    continue
                except LifelongError:
                    break
                self._replica = replica
                _say(replica, self._clock)
                return found
            raise

    def _visit_log(self, stack: ExitStack) -> tuple[DuckDBPyConnection, Head]:
        try:
            return stack.enter_context(self._log.visit())
        except Outdated:
            EditLog.open(self._log.directory)
            return stack.enter_context(self._log.visit())


def _say(replica: Replica, clock: Clock) -> None:
    manifest = replica.manifest
    _log.warning(
        "The edit log is busy: this is the replica at event %s, published %.1f s ago",
        manifest.seq,
        manifest.age(clock()),
    )
