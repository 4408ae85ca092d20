"""Planning a job: which facts it may apply, which form a mini-batch, a wave, an expert. No model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from editlog.endorsement import DecisionFound, Endorsements, SignatureFound
from editlog.events import Event
from editlog.fact import Fact
from editlog.history import LoggedFact
from editlog.reader import Reader
from editlog.store import utc_now
from lifelong.serving import pending_facts
from policies.admission import Case, Decision, Hold, Rules, Signed, admit
from policies.grouping import Groupable, mini_batches, waves
from policies.growth import expert_groups
from policies.recipe import Recipe

WaveGroups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Waiting:
    """What waits for a job: the facts it may apply, and those that are held because a rule is not kept, by number.

    A held fact does not hide an older one of its key that is pending, too.
    """

    facts: dict[int, Fact]
    held: dict[int, Hold]


def waiting(log: Reader, logged: Sequence[LoggedFact], rules: Rules) -> Waiting:
    """Decide on every pending fact of `logged`, which is what the log says now."""
    held = _held(log, logged, rules)
    return Waiting(pending_facts(fact for fact in logged if fact.seq not in held), held)


def _held(log: Reader, logged: Sequence[LoggedFact], rules: Rules) -> dict[int, Hold]:
    asked = {fact.seq: fact for fact in logged if fact.retracted_by is None and fact.job is None}
    if not asked or not (rules.signature or rules.approval or log.events(kinds=["fact.rejected"], limit=1)):
        return {}
    now = utc_now()
    held = {}
    for seq, found in log.endorsements(asked).items():
        hold = admit(_case(asked[seq], found), rules, found.applied_at or now)
        if hold:
            held[seq] = hold
    return held


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


def plan_waves(facts: Mapping[int, Fact], recipe: Recipe) -> list[list[tuple[int, ...]]]:
    """Waves of mini-batches of fact numbers, by the recipe's grouping."""
    groupable = [Groupable(seq, f.key, f.prompt, f.subject, f.relation) for seq, f in facts.items()]
    return waves(mini_batches(groupable, recipe.grouping.mini_batch), recipe.grouping.wave)


def wave_groups(wave: Sequence[tuple[int, ...]], recipe: Recipe) -> WaveGroups:
    """The expert groups of a wave, by the recipe's growth."""
    return tuple(group for batch in wave for group in expert_groups(batch, recipe.growth.facts_per_expert))


def unfinished_job(log: Reader) -> Event | None:
    """The job.started event of a job that was started last and has neither finished nor failed."""
    kinds = ["job.started", "job.finished", "job.failed"]
    last = log.events(kinds=kinds, newest_first=True, limit=1)
    return last[0] if last and last[0].kind == "job.started" else None
