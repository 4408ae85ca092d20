"""Admitting: which of the facts that wait a job may apply, on what the log knows of them and of their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from editlog.canonical import fold
from editlog.endorsement import DecisionFound, Endorsements, SignatureFound
from editlog.history import LoggedFact
from editlog.reader import Reader
from editlog.store import utc_now
from lifelong.jobs.sources import paused_sources
from policies.admission import Case, Decision, Hold, Rules, Signed, admit
from policies.budget import Budget
from policies.screening import Claim, screen


@dataclass(frozen=True)
class Terms:
    """What the configuration asks of facts and jobs: rules of admission, budget, ranks of sources.

    `admission`: whether what screening finds is only reported (`order`) or keeps a fact back (`hold`).
    """

    rules: Rules = field(default_factory=Rules)
    budget: Budget = field(default_factory=Budget)
    ranks: Mapping[str, int] = field(default_factory=dict)
    admission: Literal["order", "hold"] = "order"


def held_back(log: Reader, logged: Sequence[LoggedFact], terms: Terms) -> dict[int, Hold]:
    """Why facts that wait are not applied, by number: a paused source, a rule that is not kept, something odd."""
    asked = {fact.seq: fact for fact in logged if _waits(fact)}
    if not asked:
        return {}
    paused = paused_sources(log)
    held = {seq: Hold("source-paused") for seq, fact in asked.items() if fact.fact.source in paused}
    held |= _against_rules(log, asked, terms.rules)
    if terms.admission == "hold":
        odd = findings(logged)
        approved = _approved(log, asked, odd, terms)
        held |= {seq: hold for seq, hold in odd.items() if seq not in held and seq not in approved}
    return held


def findings(logged: Sequence[LoggedFact]) -> dict[int, Hold]:
    """What is odd about the facts that wait, by number; nothing is held here."""
    waiting = [_claim(fact, live=True) for fact in logged if _waits(fact)]
    if not waiting:
        return {}
    carried = [fact for fact in logged if fact.expert and fact.retracted_by is None]
    answering = {fact.fact.key: fact.seq for fact in carried}  # the latest of each key: facts come in log order
    known = [_claim(fact, live=answering.get(fact.fact.key) == fact.seq) for fact in logged if fact.has_outcome]
    return screen(waiting, known)


def _waits(fact: LoggedFact) -> bool:
    return fact.retracted_by is None and not fact.has_outcome


def _claim(logged: LoggedFact, *, live: bool) -> Claim:
    fact = logged.fact
    return Claim(
        seq=logged.seq,
        key=fact.key,
        wordings=tuple(map(fold, fact.wordings)),
        target=fold(fact.target),
        subject=fold(fact.subject) if fact.subject else None,
        source=fact.source,
        author=fact.author or logged.actor,
        valid_from=fact.valid_from,
        valid_to=fact.valid_to,
        night=logged.job or (f"batch {logged.batch}" if logged.has_outcome else None),
        live=live,
    )


def _against_rules(log: Reader, asked: Mapping[int, LoggedFact], rules: Rules) -> dict[int, Hold]:
    if not (rules.signature or rules.approval or log.events(kinds=["fact.rejected"], limit=1)):
        return {}
    now = utc_now()
    held = {}
    for seq, found in log.endorsements(asked).items():
        hold = admit(_case(asked[seq], found), rules, found.applied_at or now)
        if hold:
            held[seq] = hold
    return held


def _approved(log: Reader, asked: Mapping[int, LoggedFact], odd: Mapping[int, Hold], terms: Terms) -> frozenset[int]:
    """Those of the odd facts that somebody has approved, by the same rules as where every fact must be."""
    rules, now = replace(terms.rules, approval=True), utc_now()
    found = log.endorsements(odd)
    return frozenset(seq for seq in odd if admit(_case(asked[seq], found[seq]), rules, now) is None)


def _case(logged: LoggedFact, found: Endorsements) -> Case:
    return Case(
        author=logged.fact.author or logged.actor,
        actor=logged.actor,
        signatures=tuple(map(_signed, found.signatures)),
        decisions=tuple(map(_decision, found.decisions)),
        authentic=found.authentic,
        copied=found.copied,
    )


def _signed(found: SignatureFound) -> Signed:
    return Signed(found.key, found.genuine, found.replayed, found.expires)


def _decision(found: DecisionFound) -> Decision:
    return Decision(found.approves, found.actor, _signed(found.signed) if found.signed else None)
