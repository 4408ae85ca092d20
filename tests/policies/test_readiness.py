"""When a batch is ready, in which order facts are taken, and what a job's budgets leave for the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from policies.budget import Budget, Spent, no_room, taken
from policies.priority import Pending, in_order, priority_of
from policies.readiness import Readiness, not_ready

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def waiting(*priorities: int, hours: float = 1.0) -> list[Pending]:
    """Facts 1, 2, ... with these priorities, all of which came in so many hours before noon."""
    return [Pending(seq, NOON - timedelta(hours=hours), one) for seq, one in enumerate(priorities, start=1)]


def test_any_fact_is_a_batch_unless_told_otherwise() -> None:
    assert not_ready(waiting(0), Readiness(), NOON) is None
    assert not_ready([], Readiness(), NOON) == "nothing is pending"


def test_a_batch_waits_for_company_for_age_or_for_something_urgent() -> None:
    readiness = Readiness(min_facts=3, max_age_hours=10, urgent_priority=5)
    assert not_ready(waiting(0, 4), readiness, NOON) == "2 of 3 facts are pending, the oldest for 1.0 of 10 hours"
    assert not_ready(waiting(0, 4, 0), readiness, NOON) is None
    assert not_ready(waiting(0, hours=10), readiness, NOON) is None
    assert not_ready(waiting(0, 5), readiness, NOON) is None


@pytest.mark.parametrize(
    ("hours", "zone", "quiet"),
    [
        ("08:00-18:00", "UTC", True),
        ("08:00-12:00", "UTC", False),
        ("22:00-06:00", "UTC", False),
        ("20:00-06:00", "Asia/Tokyo", True),  # it is 21:00 there
        ("12:30-11:00", "UTC", False),
    ],
)
def test_no_job_begins_in_quiet_hours(hours: str, zone: str, quiet: bool) -> None:
    why = not_ready(waiting(9), Readiness(quiet_hours=hours, time_zone=zone, urgent_priority=1), NOON)
    assert (why == f"quiet hours: {hours} ({zone})") is quiet


@pytest.mark.parametrize("dials", [{"quiet_hours": "8-18"}, {"quiet_hours": "25:00-06:00"}, {"time_zone": "Mars/Base"}])
def test_hours_and_zones_that_cannot_be_are_refused(dials: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Readiness(**dials)


def test_a_clock_that_was_put_back_makes_no_fact_older() -> None:
    assert "for 0.0 of" in str(not_ready(waiting(0, hours=-3), Readiness(min_facts=2), NOON))


def test_the_rank_of_its_source_then_the_log_orders_facts() -> None:
    ranks = {"registry": 10, "forum": -1}
    facts = [Pending(seq, NOON, priority_of(source, ranks)) for seq, source in
             enumerate(("forum", None, "registry", "atlas", "registry"), start=1)]  # fmt: skip
    assert [one.seq for one in in_order(facts)] == [3, 5, 2, 4, 1]
    assert [one.seq for one in taken(facts, Budget(max_facts=3))] == [3, 5, 2]
    assert len(taken(facts, Budget())) == 5


def test_a_wave_that_would_break_a_budget_is_left_for_the_next_job() -> None:
    spent = Spent(seconds=60, facts=100, memory_mb=900, bytes=800_000)
    assert no_room(spent, 100, Budget()) is None
    assert no_room(spent, 100, Budget(max_minutes=4, max_memory_mb=1000, max_bytes=1_600_000)) is None
    assert "max_minutes" in str(no_room(spent, 100, Budget(max_minutes=3)))
    assert "max_memory_mb" in str(no_room(spent, 100, Budget(max_memory_mb=800)))
    assert "max_bytes" in str(no_room(spent, 101, Budget(max_bytes=1_600_000)))


def test_a_budget_delays_facts_and_keeps_none_for_ever() -> None:
    assert no_room(Spent(1e6, 0, 1e6, 0), 100, Budget(max_minutes=1, max_memory_mb=1, max_bytes=1)) is None
