"""Priority: in which order pending facts are taken, where not all of them can be.

A fact does not carry its priority: its identity is its content, and what is urgent changes. The configuration ranks
sources; among facts of one rank the oldest goes first, in the order of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Pending:
    """A fact that waits, since when (aware), and its priority: the higher goes first."""

    seq: int
    since: datetime
    priority: int = 0


def priority_of(source: str | None, ranks: Mapping[str, int]) -> int:
    """The rank of a source; 0 for one that is not ranked, or for a fact without a source."""
    return ranks.get(source, 0) if source is not None else 0


def in_order(pending: Iterable[Pending]) -> list[Pending]:
    """The facts as a job takes them: by priority, then as they came in."""
    return sorted(pending, key=lambda one: (-one.priority, one.seq))
