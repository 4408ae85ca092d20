"""A period of the log: what changed with before and after, what was held and why, growth and cost."""

from pathlib import Path

import pytest
from nights import HOSTILE

from editlog.errors import UsageError
from editlog.store import EditLog
from lifelong.layout import Layout
from lifelong.reports.page import period_page
from lifelong.reports.period import Period, period


@pytest.fixture(scope="module")
def log(layout: Layout) -> EditLog:
    return EditLog.open(layout.log)


@pytest.fixture(scope="module")
def second_night(layout: Layout, log: EditLog) -> Period:
    return period(layout, log, "job-2")


def test_a_period_of_a_job_is_that_job_alone(second_night: Period) -> None:
    assert [job["job"] for job in second_night.jobs] == ["job-2"]
    assert second_night.facts["applied"] == 1
    assert second_night.facts["held"] == 1


def test_what_changed_is_told_with_before_and_after(second_night: Period) -> None:
    [change] = second_night.changes
    assert (change["prompt"], change["was"], change["is_now"]) == ("The capital of France is", "Lyon", HOSTILE)
    assert change["by"] == "job-2"


def test_what_the_base_said_before_is_told_as_the_bases(layout: Layout, log: EditLog) -> None:
    first = period(layout, log, "job-1", "job-1")
    assert {change["prompt"]: change["was"] for change in first.changes} == {
        "The capital of France is": None,
        "The capital of Italy is": None,
    }


def test_what_was_held_is_told_with_the_reason_and_the_answer(second_night: Period) -> None:
    [held] = second_night.refused
    assert held["why"].startswith("spoils-others")
    assert (held["wording"], held["answer"]) == (HOSTILE, "Paris")


def test_growth_is_counted_from_the_first_job(second_night: Period) -> None:
    assert [(job["experts"], job["bytes"]) for job in second_night.history] == [(2, 1000), (3, 2000)]
    assert second_night.cost == {"seconds": 2.5, "bytes": 1000, "peak_mb": 512.0}


def test_a_moment_before_the_log_means_from_its_beginning(layout: Layout, log: EditLog) -> None:
    assert len(period(layout, log, "2001-01-01").jobs) == 2
    with pytest.raises(UsageError):
        period(layout, log, "job-99")


def test_a_pack_that_is_gone_is_not_counted_as_nothing(layout: Layout, log: EditLog, tmp_path: Path) -> None:
    emptied = Layout(tmp_path)
    assert {job["written"] for job in period(emptied, log, "job-1").jobs} == {None}


def test_the_page_shows_it_all_and_lets_nothing_in(second_night: Period) -> None:
    page = period_page(second_night, "job-2")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    for words in ("spoils-others", "changes 40 governed keys", "Audit, by job", "Bytes of packs so far", "Lyon"):
        assert words in page
