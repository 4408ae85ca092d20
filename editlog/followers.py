"""Who follows a log: its witness and the readers' replica, brought to where it stands once a write is durable.

A follower that fails is a warning, for what was written is safe; the next write brings it to where the log stands then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from editlog import tree, witness
from editlog.errors import LifelongError
from editlog.witness import Witness

if TYPE_CHECKING:
    from editlog.store import EditLog


@dataclass(frozen=True, slots=True)
class Followers:
    """The witness that is told each head, and the folder of the replica; None where there is none."""

    witness: Witness | None
    replica: Path | None

    def follow(self, log: EditLog, clock: Callable[[], datetime], timeout: float) -> None:
        """Bring them to where the log stands; the caller does not hold it."""
        if self.witness is not None:
            try:
                _tell(self.witness, log, clock, timeout)
            except LifelongError as error:
                witness.warn(error)
        if self.replica is not None:
            from editlog import replica

            try:
                replica.refresh(log, self.replica, clock())
            except (LifelongError, OSError) as error:
                replica.warn(error)


def _tell(who: Witness, log: EditLog, clock: Callable[[], datetime], timeout: float) -> None:
    position = log.head()
    if witness.last_told(log.directory).seq != position.seq:
        root = tree.root_at(log.directory, position.seq, timeout=timeout)
        witness.inform(log.directory, who, witness.tree_head(position, root, clock()))
