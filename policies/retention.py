"""Retention: which snapshots and job directories a workspace goes on keeping, and so which past can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

GRACE = timedelta(hours=1)
"""A snapshot that was replaced less than this ago may still be being opened: it is kept whatever is said."""


class Retention(BaseModel):
    """What is promised: each dial keeps what it names, and what none of them names may go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_snapshot_days: Annotated[float, Field(ge=0, le=100_000)] = 365.0
    """Any moment of the last N days can be asked by `ask --as-of`."""
    keep_snapshots: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """The N newest snapshots, however old."""
    keep_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """The directories of the N newest jobs, with their reports."""


@dataclass(frozen=True)
class Served:
    """A snapshot, the event it shows, and until when it was served: None where it is."""

    snapshot: str
    seq: int
    until: datetime | None


def let_go(
    served: Sequence[Served], retention: Retention, now: datetime, *, way_back: str | None = None
) -> list[Served]:
    """The snapshots that nothing promises to keep, oldest first.

    Never one that is served, nor `way_back`, the one a rollback would serve: whatever the dials say, a bad night can be
    undone.
    """
    span = max(GRACE, timedelta(days=retention.keep_snapshot_days))
    in_order = sorted(served, key=lambda one: (one.seq, one.until is None))
    newest = in_order[-retention.keep_snapshots :]
    old = [one for one in in_order if one.until is not None and one.until <= now - span]
    return [one for one in old if one not in newest and one.snapshot != way_back]


def runs_to_let_go(ended: Sequence[str], retention: Retention) -> list[str]:
    """The directories of ended jobs, given oldest first, that nothing promises to keep."""
    return list(ended[: -retention.keep_runs])
