"""A schedule names moments as cron does, in any time zone, and says the same in systemd's words."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from editlog.errors import UsageError
from lifelong.scheduling.schedule import Schedule

VIENNA = "Europe/Vienna"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def moments(schedule: Schedule, start: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        start = schedule.next_after(start)
        found.append(start)
    return found


def test_a_schedule_follows_the_clock_of_its_zone_through_summer_time() -> None:
    nightly = Schedule(cron="0 3 * * *", timezone=VIENNA)
    hours = [moment.hour for moment in moments(nightly, utc(2026, 10, 23), 4)]
    assert hours == [1, 1, 2, 2]  # summer time ends on 25 October


def test_the_hour_that_is_skipped_runs_right_behind_it_and_the_one_that_comes_twice_runs_once() -> None:
    nightly = Schedule(cron="30 2 * * *", timezone=VIENNA)
    assert moments(nightly, utc(2026, 3, 28, 12), 2) == [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]
    assert moments(nightly, utc(2026, 10, 24, 12), 2) == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 1-3 * * *"])
@pytest.mark.parametrize("change", [utc(2026, 3, 28, 22), utc(2026, 10, 24, 22)])
def test_what_is_last_was_once_next_all_through_a_change_of_clocks(cron: str, change: datetime) -> None:
    schedule = Schedule(cron=cron, timezone=VIENNA)
    due = moments(schedule, change - timedelta(days=2), 40)
    for minutes in range(0, 300, 15):
        now = change + timedelta(minutes=minutes)
        assert schedule.last_until(now) in due
        assert schedule.last_until(now) <= now < schedule.next_after(now)


def test_a_moment_that_is_due_now_is_the_last_and_not_the_next() -> None:
    hourly, noon = Schedule(cron="0 * * * *", timezone="UTC"), utc(2026, 11, 21, 12)
    assert hourly.last_until(noon) == noon
    assert hourly.last_until(noon + timedelta(milliseconds=1)) == noon
    assert hourly.next_after(noon) == noon + timedelta(hours=1)


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 2 * *", "five fields"),
        ("0 2 * * * *", "five fields"),
        ("99 2 * * *", "Bad minute"),
        ("0 2 30 2 *", "Bad day-of-month"),
        ("0 2 $(reboot) * *", "Bad day-of-month"),
    ],
)
def test_what_is_no_schedule_is_refused_with_a_reason(cron: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Schedule(cron=cron)


@pytest.mark.parametrize("zone", ["Europe/Wien", "../../etc/passwd", "/etc/localtime", "Europe", ""])
def test_a_zone_that_is_not_one_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        Schedule(timezone=zone)


def test_a_schedule_without_a_zone_goes_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", VIENNA)
    assert Schedule(cron="0 3 * * *").next_after(utc(2026, 7, 1)) == utc(2026, 7, 1, 1)
    monkeypatch.setenv("TZ", "Nowhere/AtAll")
    with pytest.raises(UsageError, match="TZ names no time zone"):
        Schedule().next_after(utc(2026, 7, 1))


@pytest.mark.parametrize(
    ("cron", "zone", "expressions"),
    [
        ("30 2 * * *", None, ["*-*-* 02:30:00"]),
        ("0 3 * * 1-5", VIENNA, ["Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00 Europe/Vienna"]),
        ("0 3 * * 7", None, ["Sun *-*-* 03:00:00"]),
        ("*/30 * * * *", None, ["*-*-* *:00,30:00"]),
        ("0 4 1,15 JAN-MAR *", None, ["*-01,02,03-01,15 04:00:00"]),
        ("0 4 13 * FRI", None, ["*-*-13 04:00:00", "Fri *-*-* 04:00:00"]),  # cron: the 13th, and every Friday
    ],
)
def test_a_schedule_in_the_words_of_systemd(cron: str, zone: str | None, expressions: list[str]) -> None:
    assert Schedule(cron=cron, timezone=zone).on_calendar() == expressions


@pytest.mark.parametrize("cron", ["0 2 L * *", "0 2 * * 5L", "0 2 * * 1#2"])
def test_what_systemd_cannot_say_is_refused(cron: str) -> None:
    with pytest.raises(UsageError, match="systemd and cron do not"):
        Schedule(cron=cron).on_calendar()
