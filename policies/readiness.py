"""Readiness: whether what is pending makes a batch that is worth a job now, or why not.

Asked where nobody is there to decide (`run --if-ready`, `plan`); whoever runs a job by hand has decided already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from policies.priority import Pending

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def _is_hours(words: str) -> str:
    if not _HOURS.fullmatch(words):
        raise ValueError("quiet hours are HH:MM-HH:MM, such as 08:00-18:30")
    return words


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone; use a name such as Europe/Berlin") from error
    return name


class Readiness(BaseModel):
    """When a batch is ready: enough facts, or one that waited long, or one that is urgent; never in quiet hours.

    `min_facts` pending ones are enough. A fact that has waited `max_age_hours`, or whose priority is `urgent_priority`
    or above, needs no company. In `quiet_hours` (local time in `time_zone`, may go over midnight) no job begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_facts: Annotated[int, Field(ge=1)] = 1
    max_age_hours: Annotated[float, Field(gt=0)] = 24.0
    urgent_priority: int | None = None
    quiet_hours: Annotated[str, AfterValidator(_is_hours)] | None = None
    time_zone: Annotated[str, AfterValidator(_is_zone)] = "UTC"


def not_ready(pending: Sequence[Pending], readiness: Readiness, now: datetime) -> str | None:
    """Why no job should begin at the moment `now` (aware); None where one should."""
    if not pending:
        return "nothing is pending"
    if readiness.quiet_hours and _is_quiet(readiness.quiet_hours, now.astimezone(ZoneInfo(readiness.time_zone)).time()):
        return f"quiet hours: {readiness.quiet_hours} ({readiness.time_zone})"
    urgent = readiness.urgent_priority
    if len(pending) >= readiness.min_facts or (urgent is not None and any(one.priority >= urgent for one in pending)):
        return None
    age = now - min(one.since for one in pending)
    if age >= timedelta(hours=readiness.max_age_hours):
        return None
    hours = age.total_seconds() / 3600
    return (
        f"{len(pending)} of {readiness.min_facts} facts are pending, the oldest for {max(hours, 0):.1f} of"
        f" {readiness.max_age_hours:g} hours"
    )


def _is_quiet(hours: str, at: time) -> bool:
    begin, end = (time.fromisoformat(part) for part in hours.split("-"))
    return begin <= at < end if begin <= end else at >= begin or at < end
