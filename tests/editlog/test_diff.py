"""What changed between two positions: facts, jobs, and the answers that come of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from editlog.diff import diff
from editlog.errors import UsageError
from editlog.events import Entry
from editlog.fact import Fact
from editlog.store import EditLog

OLD, NEW = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32


def _fact(target: str, **more: object) -> Fact:
    return Fact(prompt="The mayor of Marbeck is", target=target, **more)


def _apply(log: EditLog, seq: int, expert: str, job: str) -> int:
    started = Entry("job.started", {"facts": [seq]})
    applied = Entry("facts.applied", {"facts": [{"fact": seq, "expert": expert}]})
    return log.append([started, applied, Entry("job.finished", {})], actor="night", job=job).seq


def _changes(log: EditLog, first: int | str, last: int | str | None = None, **more: datetime) -> list[tuple]:
    return [
        (one["was"], one["is_now"], one["by"] and one["by"]["kind"]) for one in diff(log, first, last, **more).answers
    ]


@pytest.fixture
def story(log: EditLog) -> tuple[EditLog, int, int, int]:
    """A mayor, another, and the second one withdrawn: the positions after each."""
    log.ingest([_fact("Tomas Weil")], actor="ada")
    first = _apply(log, 3, OLD, "job-1")
    log.ingest([_fact("Mira Sand")], actor="eva", reason="election")
    second = _apply(log, 8, NEW, "job-2")
    log.retract(["f8"], actor="bob", reason="recount")
    return log, first, second, log.head().seq


def test_the_answers_that_changed_are_told_with_what_changed_them(story: tuple[EditLog, int, int, int]) -> None:
    log, first, second, last = story
    assert _changes(log, 1, first) == [(None, "Tomas Weil", "facts.applied")]
    assert _changes(log, "job-1", "job-2") == [("Tomas Weil", "Mira Sand", "facts.applied")]
    assert _changes(log, second, last) == [("Mira Sand", "Tomas Weil", "fact.retracted")]
    assert _changes(log, first, last) == []
    log.retract(["f3"], actor="bob", reason="no mayor")
    [gone] = diff(log, last).answers
    assert (gone["was_fact"], gone["is_now"], gone["fact"]) == ("f3", None, None)
    assert (gone["by"]["actor"], gone["by"]["reason"]) == ("bob", "no mayor")


def test_the_facts_and_jobs_of_the_span_are_listed(story: tuple[EditLog, int, int, int]) -> None:
    log, first, second, last = story
    whole = diff(log, first, second)
    assert [(one["fact"], one["actor"], one["reason"]) for one in whole.added] == [("f8", "eva", "election")]
    assert [(one["fact"], one["superseded_by"]) for one in whole.superseded] == [("f3", "f8")]
    assert [(one["fact"], one["outcome"], one["job"]) for one in whole.outcomes] == [("f8", "applied", "job-2")]
    assert [one["job"] for one in whole.jobs] == ["job-2"]
    assert whole.retracted == []
    assert [(one["fact"], one["reason"]) for one in diff(log, second, last).retracted] == [("f8", "recount")]


def test_an_answer_changes_with_the_time_in_the_world_too(log: EditLog) -> None:
    log.ingest([_fact("Tomas Weil", valid_to=datetime(2030, 1, 1, tzinfo=UTC))], actor="ada")
    head = _apply(log, 3, OLD, "job-1")
    assert _changes(log, 1, head) == [(None, "Tomas Weil", "facts.applied")]
    assert _changes(log, 1, head, valid_at=datetime(2031, 1, 1, tzinfo=UTC)) == []


def test_a_span_runs_forward(story: tuple[EditLog, int, int, int]) -> None:
    log, first, _, last = story
    with pytest.raises(UsageError, match="name the earlier one first"):
        diff(log, last, first)
