"""Tracing: why a prompt is routed as it is, and who and what stands behind its answer. No model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from editlog.canonical import HASH_TAG
from editlog.errors import UsageError
from editlog.events import moment
from editlog.happening import Happening
from editlog.history import LoggedFact
from editlog.inquiry import inquire
from editlog.position import AsOf
from editlog.reader import Reader
from lifelong.anchors.gate import Decision, Gate
from lifelong.layout import Layout, pack_path
from lifelong.results import Blame, ExpertHeld, RouteExplanation
from lifelong.snapshots import past
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import read_snapshot


def _decide(
    layout: Layout, served: past.Served, prompt: str, valid_at: datetime | None
) -> tuple[Decision, dict[int, Served]]:
    snapshot = read_snapshot(layout.snapshots, served.snapshot)
    gate = Gate.load(snapshot.directory)
    return gate.explain(prompt, at=valid_at or served.at), {fact.seq: fact for fact in snapshot.facts}


def explain(layout: Layout, served: past.Served, prompt: str, *, valid_at: datetime | None) -> RouteExplanation:
    """The decision and its candidates; see `Workspace.explain`."""
    decision, _ = _decide(layout, served, prompt, valid_at)
    return RouteExplanation(
        prompt=prompt,
        hit=decision.fact is not None,
        fact=None if decision.fact is None else f"f{decision.fact}",
        score=decision.score,
        threshold=decision.threshold,
        anchor=decision.anchor,
        subject=decision.subject,
        candidates=[{**asdict(candidate), "fact": f"f{candidate.fact}"} for candidate in decision.candidates],
    )


def blame(layout: Layout, log: Reader, served: past.Served, prompt: str, *, valid_at: datetime | None) -> Blame:
    """The answer's origin; see `Workspace.blame`."""
    decision, facts = _decide(layout, served, prompt, valid_at)
    fact = None if decision.fact is None else facts[decision.fact]
    told, kin = log.lineage(fact.ref, as_of=served.as_of) if fact else ([], [])
    return Blame(
        prompt=prompt,
        hit=fact is not None,
        fact=fact.ref if fact else None,
        similarity=decision.score,
        threshold=decision.threshold,
        anchor=decision.anchor,
        record=fact.fact.record() if fact else None,
        expert=fact.expert if fact else None,
        job=fact.job if fact else None,
        as_of=served.as_of,
        who=_who(told),
        effect=_effect(told, kin),
        events=[happening.to_dict() for happening in told],
    )


def _who(told: Sequence[Happening]) -> dict[str, Any] | None:
    """Who brought the fact in, when, why, and from where."""
    for put in told:
        if put.what == "ingested":
            return {
                "author": put.fact.fact.author,
                "source": put.fact.fact.source,
                "actor": put.event.actor,
                "reason": put.event.reason,
                "at": moment(put.event.at),
                "origin": put.detail["origin"],
            }
    return None


def _effect(told: Sequence[Happening], kin: Sequence[LoggedFact]) -> dict[str, Any] | None:
    """What the edit changed: since when it answers, and what would without it. `kin` are all facts of its key."""
    applied = [one for one in told if one.what == "applied"]
    if not applied:
        return None
    last = applied[-1]
    older = [fact for fact in kin if fact.seq < last.fact.seq and fact.expert and fact.retracted_by is None]
    return {
        "answers": last.fact.fact.target,
        "since": moment(last.event.at),
        "without_it": older[-1].fact.target if older else None,
        "without_it_fact": older[-1].ref if older else None,
    }


def expert_held(
    layout: Layout, log: Reader, prefix: str, *, as_of: AsOf | None, valid_at: datetime | None
) -> ExpertHeld:
    """What one expert holds; see `Workspace.expert`."""
    beginning = HASH_TAG + prefix.removeprefix(HASH_TAG)
    found = inquire(log, "SELECT * FROM experts WHERE starts_with(expert, $1)", [beginning], as_of=as_of)
    if len(found) != 1:
        raise UsageError(f"{len(found) or 'no'} experts begin with {prefix!r}; see `lifelong experts list`")
    [expert] = found
    facts = inquire(
        log,
        "SELECT o.fact, f.status, f.governs, f.holds, f.prompt, f.target, f.subject, f.relation, f.source, f.author,"
        " f.actor, f.recorded_at, o.job, o.recorded_at AS applied_at FROM outcomes AS o JOIN facts AS f USING (fact)"
        " WHERE o.expert = $1 ORDER BY f.seq",
        [expert["expert"]],
        as_of=as_of,
        valid_at=valid_at,
    )
    path = pack_path(layout.experts, expert["pack"]) if expert["pack"] else None
    return ExpertHeld(
        hash=expert["expert"],
        status=expert["status"],
        job=expert["job"],
        pack=expert["pack"],
        pack_bytes=path.stat().st_size if path and path.exists() else None,
        applied_at=expert["applied_at"],
        retired_at=expert["retired_at"],
        retired_reason=expert["retired_reason"],
        facts=facts,
    )
