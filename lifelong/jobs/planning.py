"""Planning a job: which facts it may apply, which form a mini-batch, a wave, an expert. No model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from editlog.events import Event
from editlog.fact import Fact
from editlog.history import LoggedFact
from editlog.reader import Reader
from lifelong.jobs.admitting import Terms, held_back
from lifelong.snapshots.serving import pending_facts
from policies.admission import Hold
from policies.grouping import Groupable, mini_batches, waves
from policies.growth import grow
from policies.priority import Pending, in_order, priority_of
from policies.recipe import Recipe

WaveGroups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Waiting:
    """What waits for a job: the facts it may apply, in the order it takes them, and those held, by number.

    A held fact does not hide an older one of its key that is pending, too.
    """

    facts: dict[int, Fact]
    held: dict[int, Hold]
    queue: tuple[Pending, ...]


def waiting(log: Reader, logged: Sequence[LoggedFact], terms: Terms) -> Waiting:
    """Decide on every pending fact of `logged`, which is what the log says now."""
    held = held_back(log, logged, terms)
    facts = pending_facts(fact for fact in logged if fact.seq not in held)
    since = {fact.seq: fact.at for fact in logged}
    queue = in_order(Pending(seq, since[seq], priority_of(fact.source, terms.ranks)) for seq, fact in facts.items())
    return Waiting({one.seq: facts[one.seq] for one in queue}, held, tuple(queue))


def plan_waves(queue: Sequence[Pending], facts: Mapping[int, Fact], recipe: Recipe) -> list[list[tuple[int, ...]]]:
    """Waves of mini-batches of fact numbers, by the recipe's grouping; no wave has facts of two priorities."""
    planned: list[list[tuple[int, ...]]] = []
    for _, tier in groupby((one for one in queue if one.seq in facts), key=lambda one: one.priority):
        of_tier = [(seq, facts[seq]) for seq in sorted(one.seq for one in tier)]
        groupables = [groupable(seq, fact) for seq, fact in of_tier]
        grouping = recipe.grouping
        planned += waves(mini_batches(groupables, grouping.mini_batch, grouping.policy), grouping.wave)
    return planned


def wave_groups(wave: Sequence[tuple[int, ...]], facts: Mapping[int, Fact], recipe: Recipe) -> WaveGroups:
    """The expert groups of a wave, by the recipe's growth."""
    dials, batches = recipe.growth, [[groupable(seq, facts[seq]) for seq in batch] for batch in wave]
    return tuple(grow(dials.policy, batches, facts_per_expert=dials.facts_per_expert, pool=dials.pool))


def groupable(seq: int, fact: Fact) -> Groupable:
    """What grouping and growth may know of a fact."""
    return Groupable(seq, fact.key, fact.prompt, fact.subject, fact.relation, fact.target)


def unfinished_job(log: Reader) -> Event | None:
    """The job.started event of a job that was started last and has neither finished nor failed."""
    kinds = ["job.started", "job.finished", "job.failed"]
    last = log.events(kinds=kinds, newest_first=True, limit=1)
    return last[0] if last and last[0].kind == "job.started" else None
