"""Which facts are served: decided on the log alone, so a few hand-made facts are all it takes to test it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from editlog.fact import Fact
from editlog.history import LoggedFact
from lifelong.snapshots.serving import Served, governing_moments, pending_facts, served_facts

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def put(seq: int, target: str = "Marbeck", *, prompt: str = "The capital of Osterland is", **more: Any) -> LoggedFact:
    """A fact that was put and waits for a job."""
    fact = Fact.model_validate({"prompt": prompt, "target": target, **more})
    return LoggedFact(
        seq=seq, fact=fact, actor="ada", at=NOW, batch=1, governs=True, superseded_by=None, retracted_by=None,
        status="pending", expert=None, job=None, why=None,
    )  # fmt: skip


def applied(fact: LoggedFact) -> LoggedFact:
    return replace(fact, status="applied", expert=f"sha256:{fact.seq:064}", job="job-1")


def failed(fact: LoggedFact) -> LoggedFact:
    return replace(fact, status="failed", job="job-1", why="not-answered")


def retracted(fact: LoggedFact) -> LoggedFact:
    return replace(fact, status="retracted", retracted_by=99)


def shown(*facts: LoggedFact) -> list[tuple[int, bool]]:
    """(seq, negative) of what is served."""
    return [(served.seq, served.negative) for served in served_facts(facts)]


def governor(moment: datetime, *facts: LoggedFact) -> int | None:
    """The fact that a prompt of the key gets at a moment: the latest served one that is valid then."""
    valid = [served.seq for served in served_facts(facts) if not served.negative and served.fact.valid_at(moment)]
    return max(valid, default=None)


def test_the_latest_fact_of_a_key_governs() -> None:
    assert shown(applied(put(1)), applied(put(2, "Selmouth"))) == [(2, False)]


def test_keys_do_not_disturb_each_other() -> None:
    other = put(2, prompt="The capital of Norrland is")
    assert shown(applied(put(1)), applied(other)) == [(1, False), (2, False)]


def test_an_older_fact_serves_until_the_newer_one_has_an_expert() -> None:
    assert shown(applied(put(1)), put(2, "Selmouth")) == [(1, False)]
    assert shown(applied(put(1)), failed(put(2, "Selmouth"))) == [(1, False)]


def test_after_a_retraction_the_older_fact_serves_again() -> None:
    assert shown(applied(put(1)), retracted(applied(put(2, "Selmouth")))) == [(1, False)]


def test_where_none_is_left_the_wording_stays_as_a_negative() -> None:
    assert shown(retracted(applied(put(1)))) == [(1, True)]
    (negative,) = served_facts([retracted(applied(put(1)))])
    assert negative.expert is None


def test_a_negative_goes_when_a_new_fact_governs() -> None:
    gone = retracted(applied(put(1)))
    assert shown(gone, put(2, "Selmouth")) == [(1, True)]
    assert shown(gone, applied(put(2, "Selmouth"))) == [(2, False)]


def test_what_never_had_an_expert_leaves_no_negative() -> None:
    assert shown(retracted(put(1))) == []


def test_a_fact_for_some_time_leaves_the_one_behind_it_in_sight() -> None:
    always, for_a_year = applied(put(1)), applied(put(2, "Selmouth", valid_from=year(2027), valid_to=year(2028)))
    assert shown(always, for_a_year) == [(1, False), (2, False)]
    assert governor(NOW, always, for_a_year) == 1
    assert governor(year(2027), always, for_a_year) == 2
    assert governor(year(2028), always, for_a_year) == 1


def test_a_fact_for_ever_hides_what_lies_behind_it() -> None:
    for_a_year = applied(put(1, valid_from=year(2027), valid_to=year(2028)))
    assert shown(for_a_year, applied(put(2, "Selmouth"))) == [(2, False)]


def test_every_fact_is_asked_about_at_a_time_when_it_governs() -> None:
    facts = [
        applied(put(1)),
        applied(put(2, "Selmouth", valid_to=year(2020))),
        applied(put(3, "Kirnach", valid_from=year(2026), valid_to=year(2030))),
        applied(put(4, "Lindby", valid_from=year(2027), valid_to=year(2028))),
        applied(put(5, prompt="Who founded Kirnach?")),
    ]
    moments = governing_moments(served_facts(facts), NOW)
    assert {seq: governor(moment, *facts[:4]) for seq, moment in moments.items() if seq < 5} == {1: 1, 2: 2, 3: 3, 4: 4}
    assert moments[3] == moments[5] == NOW


def test_a_fact_that_is_hidden_at_all_times_has_no_such_moment() -> None:
    hidden = applied(put(1, valid_from=year(2027), valid_to=year(2028)))
    over_it = applied(put(2, "Selmouth", valid_from=year(2026), valid_to=year(2029)))
    assert set(governing_moments(served_facts([hidden, over_it]), NOW)) == {2}


def test_pending_is_what_no_job_has_seen_and_can_still_show() -> None:
    facts = [
        put(1),  # superseded before it was trained
        put(2, "Selmouth"),
        applied(put(3, prompt="a b")),
        failed(put(4, prompt="c d")),
        retracted(put(5, prompt="e f")),
        put(6, prompt="g h"),
        put(7, "later", prompt="g h", valid_from=year(2030)),  # both can show
    ]
    assert list(pending_facts(facts)) == [2, 6, 7]


def test_a_served_fact_survives_its_journey_through_json() -> None:
    (served,) = served_facts([applied(put(1, rephrases=["Osterland is governed from"], valid_from=year(2020)))])
    assert Served.from_dict(served.to_dict()) == served
