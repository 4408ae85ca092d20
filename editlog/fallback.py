"""Reading where a writer may be at work: the log itself while it can be had, else the replica, and a word about it.

A reader sees its own process's writes as long as the log can be had in `PATIENCE` seconds. Where it cannot, the
answer comes from the replica and stderr says so, with its position and age. Once that has happened, the rest of what
one Fallback is asked comes from the same replica, so that the parts of an answer fit together; a replica that is older
than what was read of the log before does not fit, and the log stays busy (exit 75).
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
    """A log, and the replica in a folder for when it is busy; raises Busy where that cannot be read either."""

    def __init__(self, log: EditLog, replica: Path, *, clock: Clock = utc_now) -> None:
        self.directory, self.replica = log.directory, replica
        self._log, self._clock = log, clock
        self._opened: Replica | None = None
        self._seen = 0

    @classmethod
    def open(cls, directory: Path, replica: Path) -> Fallback:
        """Read the log in `directory`; where it has no replica yet, wait for it as a writer does.

        What a crash has left is not repaired, for that takes a writer; a log of an older version is brought up to date.
        """
        replicated = (replica / MANIFEST).exists()
        return cls(EditLog(directory, timeout=PATIENCE) if replicated else EditLog(directory), replica)

    @property
    def uses_replica(self) -> bool:
        """Whether the log was busy, so that it is the replica that answers from then on."""
        return self._opened is not None

    @contextmanager
    def visit(self) -> Iterator[tuple[DuckDBPyConnection, Head]]:
        """A visit to the log, or to the replica; see `Reader.visit`."""
        with ExitStack() as stack:
            yield stack.enter_context(self._opened.visit()) if self._opened else self._enter(stack)

    def _enter(self, stack: ExitStack) -> tuple[DuckDBPyConnection, Head]:
        try:
            return self._visit_log(stack)
        except Busy:
            for _ in range(_ATTEMPTS):
                try:
                    replica = Replica.open(self.replica, clock=self._clock)
                    found = stack.enter_context(replica.visit())
                except Busy:  # made anew between the two lines: open the new one
                    continue
                except LifelongError:
                    break
                if replica.manifest.seq < self._seen:
                    break
                self._opened = replica
                _say(replica, self._clock)
                return found
            raise

    def _visit_log(self, stack: ExitStack) -> tuple[DuckDBPyConnection, Head]:
        try:
            con, head = stack.enter_context(self._log.visit())
        except Outdated:
            EditLog.open(self._log.directory)
            con, head = stack.enter_context(self._log.visit())
        self._seen = head.seq
        return con, head


def _say(replica: Replica, clock: Clock) -> None:
    manifest = replica.manifest
    _log.warning(
        "The edit log is busy: this is the replica at event %s, published %.1f s ago",
        manifest.seq,
        manifest.age(clock()),
    )
