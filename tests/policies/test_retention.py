"""Retention keeps what any of its dials names, and what is served whatever they say."""

from datetime import UTC, datetime, timedelta

from policies.retention import Retention, Served, let_go, runs_to_let_go

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def served(*ages_in_days: float | None) -> list[Served]:
    """Snapshots by how long ago they were replaced; None: served now."""
    return [
        Served(f"s{number}", 10 * number, None if age is None else NOW - timedelta(days=age))
        for number, age in enumerate(ages_in_days)
    ]


def gone(retention: Retention, *ages_in_days: float | None) -> list[str]:
    return [one.snapshot for one in let_go(served(*ages_in_days), retention, NOW)]


def test_days_and_number_each_keep_what_they_name() -> None:
    week = (30, 8, 6, 1, None)
    assert gone(Retention(keep_snapshot_days=7, keep_snapshots=1), *week) == ["s0", "s1"]
    assert gone(Retention(keep_snapshot_days=7, keep_snapshots=4), *week) == ["s0"]
    assert gone(Retention(keep_snapshot_days=0, keep_snapshots=2), *week) == ["s0", "s1", "s2"]
    assert gone(Retention(), *week) == []


def test_what_is_served_and_what_was_just_now_stay() -> None:
    retention = Retention(keep_snapshot_days=0, keep_snapshots=1)
    assert gone(retention, 3, None) == ["s0"]
    assert gone(retention, 0.01, None) == []
    assert gone(retention, None) == []


def test_the_way_back_stays_whatever_the_dials_say() -> None:
    retention = Retention(keep_snapshot_days=0, keep_snapshots=1)
    assert [one.snapshot for one in let_go(served(9, 6, 3, None), retention, NOW, way_back="s2")] == ["s0", "s1"]


def test_the_newest_runs_stay() -> None:
    assert runs_to_let_go(["job-1", "job-2", "job-3"], Retention(keep_runs=2)) == ["job-1"]
    assert runs_to_let_go(["job-1"], Retention(keep_runs=2)) == []
