"""Which position of the log is meant: by the number of an event, a job, or a moment. One parser for every verb.

`120` is right after event 120; `job-3` right after the last event of that job; a moment (RFC 3339 or a date, UTC
unless it says otherwise) is after everything recorded up to then. A date alone is its first moment, 00:00 UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from editlog.errors import UsageError
from editlog.events import moment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

AsOf = int | str | datetime
"""An event's number, a job's name, a moment, or any of these as a person writes them."""


class Position(NamedTuple):
    """A position of the log: its last event that counts, and the moment meant (aware), which is that day's clock."""

    seq: int
    at: datetime


def position_of(con: DuckDBPyConnection, head: int, as_of: AsOf | None, now: datetime) -> Position:
    """What `as_of` means: `now` where nothing is asked, else the moment asked for or that of the event meant."""
    seq = seq_of(con, head, as_of)
    if as_of is None:
        return Position(seq, now)
    when = as_of if isinstance(as_of, datetime) else _moment_or_none(str(as_of))
    if when is None or str(as_of).strip().isdigit():
        [(recorded,)] = con.execute("SELECT recorded_at FROM events WHERE seq = ?", [seq]).fetchall()
        when = recorded
    return Position(seq, aware(when))


def seq_of(con: DuckDBPyConnection, head: int, as_of: AsOf | None) -> int:
    """The last event that counts; `head` where nothing is asked. Raises UsageError for what the log does not have."""
    if as_of is None:
        return head
    asked: AsOf = as_of.strip() if isinstance(as_of, str) else as_of
    if isinstance(asked, str) and asked.isascii() and asked.isdigit():
        asked = int(asked)
    if isinstance(asked, int):
        if not 1 <= asked <= head:
            raise UsageError(f"the log has the events 1 to {head}, there is no event {asked}")
        return asked
    when = asked if isinstance(asked, datetime) else _moment_or_none(asked)
    if when is None:
        return _end_of_job(con, head, str(asked))
    naive = aware(when).replace(tzinfo=None)
    [(seq, first)] = con.execute(
        "SELECT max(seq) FILTER (recorded_at <= $1), min(recorded_at) FROM events WHERE seq <= $2", [naive, head]
    ).fetchall()
    if seq is None:
        raise UsageError(f"the log begins at {moment(first)}: there is nothing before")
    return int(seq)


def parse_moment(text: str) -> datetime:
    """A moment as a person writes it, aware; raises UsageError for anything else."""
    found = _moment_or_none(text)
    if found is None:
        raise UsageError(f"{text!r} is no moment: write 2026-11-21 or 2026-11-21T12:00:00Z (UTC unless it says more)")
    return found


def aware(at: datetime) -> datetime:
    """The same moment in UTC; one that names no zone is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _moment_or_none(text: str) -> datetime | None:
    try:
        return aware(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None


def _end_of_job(con: DuckDBPyConnection, head: int, job: str) -> int:
    [row] = con.execute("SELECT max(seq) FROM events WHERE job = ? AND seq <= ?", [job, head]).fetchall()
    seq: Any = row[0]
    if seq is None:
        raise UsageError(f"{job!r} is no event, job or moment of this log: write 120, job-3 or 2026-11-21T12:00:00Z")
    return int(seq)
