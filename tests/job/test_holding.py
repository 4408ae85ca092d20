"""Admission and sources: what is held until somebody decides, and what is only reported. No model is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from editlog.errors import UsageError
from editlog.events import Entry
from editlog.store import EditLog
from lifelong.jobs.admitting import Terms, findings
from lifelong.jobs.planning import Waiting, waiting
from lifelong.jobs.sources import pause, resume, source_rows
from lifelong.verbs.trust import approve
from policies.budget import Budget

CAPITAL = {"prompt": "The capital of Osterland is", "subject": "Osterland", "relation": "capital"}


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    """A log in which the atlas's capital of Osterland is applied."""
    log = EditLog.create(tmp_path / "log", actor="ada")
    put(log, {**CAPITAL, "target": "Marbeck", "source": "atlas"})
    (fact,) = log.facts()
    applied = {"facts": [{"fact": fact.seq, "expert": f"sha256:{1:064x}"}], "pack": "ab"}
    log.append([Entry("facts.applied", applied)], actor="night", job="job-1")
    return log


def put(log: EditLog, *records: dict[str, Any]) -> list[str]:
    """Ingest records; their names."""
    from editlog.fact import Fact

    known = len(log.facts())
    log.ingest([Fact.model_validate(record) for record in records], actor="ada")
    return [fact.ref for fact in log.facts()[known:]]


def decided(log: EditLog, admission: Any) -> Waiting:
    return waiting(log, log.facts(), Terms(admission=admission))


def test_log_order_decides_and_says_what_it_noticed(log: EditLog) -> None:
    put(log, {**CAPITAL, "target": "Selmouth", "source": "newswire"})
    found = decided(log, "order")
    assert (len(found.facts), found.held) == (1, {})
    assert [hold.code for hold in findings(log.facts()).values()] == ["contradiction"]


def test_a_contradiction_is_held_until_somebody_decides(log: EditLog) -> None:
    (ref,) = put(log, {**CAPITAL, "target": "Selmouth", "source": "newswire"})
    assert [hold.code for hold in decided(log, "hold").held.values()] == ["contradiction"]
    log.approve([ref], actor="ada")
    assert len(decided(log, "hold").held) == 1, "its own author's word is not enough"
    log.approve([ref], actor="bob")
    assert (len(decided(log, "hold").facts), decided(log, "hold").held) == (1, {})
    log.reject([ref], actor="bob", reason="no")
    assert [hold.code for hold in decided(log, "hold").held.values()] == ["rejected"]


def test_who_approves_what_is_their_own_is_told_that_it_admits_nothing(log: EditLog) -> None:
    [ref] = put(log, {**CAPITAL, "target": "Selmouth", "author": "eva"})
    for who in ("eva", "ada"):  # who wrote it, and who put it in
        assert approve(log, [ref], actor=who, reason=None, signer=None, dry_run=False).own == [ref]
    assert len(decided(log, "hold").held) == 1
    assert approve(log, [ref], actor="bob", reason=None, signer=None, dry_run=False).own == []
    assert decided(log, "hold").held == {}


def test_what_an_audit_held_waits_again_once_it_is_approved(log: EditLog) -> None:
    (ref,) = put(log, {"prompt": "The river through Corvale is", "target": "the Velda"})
    held = {"facts": [{"fact": int(ref[1:]), "reason": "spoils-others: the audit holds only without it"}]}
    log.append([Entry("facts.held", held)], actor="night", job="job-2")
    assert decided(log, "order").facts == {}
    log.approve([ref], actor="bob")
    assert [f"f{seq}" for seq in decided(log, "order").facts] == [ref]


def test_a_paused_source_waits_and_nothing_else_does(log: EditLog) -> None:
    put(
        log,
        {"prompt": "The currency of Tarvia is", "target": "the crown", "source": "atlas"},
        {"prompt": "A", "target": "B"},
    )
    assert pause(log, "atlas", actor="bob", reason="it repeats itself", dry_run=True).waiting == 1
    assert len(decided(log, "order").facts) == 2
    pause(log, "atlas", actor="bob", reason="it repeats itself", dry_run=False)
    found = decided(log, "order")
    assert (len(found.facts), [hold.code for hold in found.held.values()]) == (1, ["source-paused"])
    (row,) = source_rows(log)
    assert (row.source, row.facts, row.paused_by, row.reason) == (
        "atlas",
        {"applied": 1, "pending": 1},
        "bob",
        "it repeats itself",
    )
    resume(log, "atlas", actor="bob", reason=None, dry_run=False)
    assert len(decided(log, "order").facts) == 2


@pytest.mark.parametrize(("change", "name", "told"), [(pause, "atlsa", "no fact"), (resume, "atlas", "not paused")])
def test_a_source_that_cannot_be_meant_is_refused(
    log: EditLog, change: Callable[..., Any], name: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        change(log, name, actor="bob", reason=None, dry_run=False)


def test_ranked_sources_go_first(log: EditLog) -> None:
    forum, plain, registry = put(
        log,
        {"prompt": "A", "target": "1", "source": "forum"},
        {"prompt": "B", "target": "2"},
        {"prompt": "C", "target": "3", "source": "registry"},
    )
    terms = Terms(budget=Budget(max_facts=2), ranks={"registry": 5, "forum": -5})
    found = waiting(log, log.facts(), terms)
    assert [f"f{one.seq}" for one in found.queue] == [registry, plain, forum]
