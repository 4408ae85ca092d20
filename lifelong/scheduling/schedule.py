"""A schedule: five cron fields in a time zone, the moments they name, and the same in systemd's words.

The fields are read as Debian's cron reads them, summer time included: what falls into the hour that is skipped
runs right behind it, what falls into the hour that comes twice runs once.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, field_validator

from editlog.errors import UsageError

_LOCALTIME = Path("/etc/localtime")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SECOND = timedelta(seconds=1)


class Schedule(BaseModel):
    """When a job is due: `cron`, five fields, on the clock of `timezone` (an IANA name; None: the machine's own)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: str = Field(default="30 2 * * *", max_length=256)
    timezone: str | None = Field(default=None, max_length=64)

    @field_validator("cron")
    @classmethod
    def _has_moments(cls, cron: str) -> str:
        fields = cron.split()
        if len(fields) != 5:
            raise ValueError(f"must have five fields (minute hour day month weekday), not {len(fields)}: {cron!r}")
        try:
            next(CronSim(cron, datetime(2024, 1, 1)))
        except CronSimError as error:
            raise ValueError(f"{error} in {cron!r}") from None
        except StopIteration:
            raise ValueError(f"{cron!r} names no moment that ever comes") from None
        return " ".join(fields)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, OSError, ValueError):  # unknown, a directory of zones, or a path
                raise ValueError(f"{name!r} is no time zone of this machine (such as Europe/Vienna)") from None
        return name

    @property
    def zone(self) -> tzinfo:
        """The clock that the fields are read on."""
        return ZoneInfo(self.timezone) if self.timezone else _machine_zone()

    def next_after(self, moment: datetime) -> datetime:
        """The first moment behind `moment` (aware) at which a job is due, in UTC."""
        for due in CronSim(self.cron, moment.astimezone(self.zone)):
            if due > moment:  # in the hour that comes twice, its first pass may lie behind us
                return due.astimezone(UTC)
        raise UsageError(f"the schedule {self.cron!r} names no moment behind {moment:%Y-%m-%d}")

    def last_until(self, moment: datetime) -> datetime:
        """The last moment at which a job was due, `moment` (aware) included, in UTC."""
        behind = moment.astimezone(self.zone).replace(microsecond=0) + _SECOND
        for due in CronSim(self.cron, behind, reverse=True):
            if due <= moment:
                return due.astimezone(UTC)
        raise UsageError(f"the schedule {self.cron!r} names no moment before {moment:%Y-%m-%d}")

    def plain(self) -> CronSim:
        """The fields as sets of numbers, for a scheduler that knows the five fields of cron and no more.

        Raises UsageError for the last or the n-th weekday of a month (`5L`, `1#2`, `L`).
        """
        fields = CronSim(self.cron, datetime(2024, 1, 1))
        if any(not isinstance(day, int) or day < 0 for day in (*fields.days, *fields.weekdays)):
            raise UsageError(f"only `lifelong schedule run` knows the days of {self.cron!r}; systemd and cron do not")
        return fields

    def on_calendar(self) -> list[str]:
        """The schedule as systemd's OnCalendar expressions, each of which starts a job; raises as `plain` does."""
        fields = self.plain()
        weekdays = {(int(str(day)) - 1) % 7 for day in fields.weekdays}
        names = "" if len(weekdays) == 7 else ",".join(_WEEKDAYS[day] for day in sorted(weekdays)) + " "
        months, days = _listed(fields.months, 12), _listed(fields.days, 31)
        time = f"{_listed(fields.hours, 24)}:{_listed(fields.minutes, 60)}:00"
        zone = f" {self.timezone}" if self.timezone else ""
        if fields.day_and:
            return [f"{names}*-{months}-{days} {time}{zone}"]
        return [f"*-{months}-{days} {time}{zone}", f"{names}*-{months}-* {time}{zone}"]


def _listed(values: set[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(f"{value:02}" for value in sorted(values))


def _machine_zone() -> tzinfo:
    """The zone of the machine with its summer time; TZ first, as the C library has it."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if name:
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise UsageError(
                f"TZ names no time zone of this machine: {name!r}; set timezone under [schedule]"
            ) from None
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except FileNotFoundError:
        return UTC
