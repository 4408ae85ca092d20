"""Merging: which experts become one.

A merge pays where facts want the same of an expert: those that ask alike and answer the same first, then those that
answer the same, then those that ask alike, then the rest. What is decided here is only worth trying: the audit
says of each group whether it holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.growth import place_of

Method = Literal["mean_distil", "distil", "cat_distil", "cat", "mean", "linear", "ties", "dare_linear", "dare_ties"]


class Merging(BaseModel):
    """When experts are merged, and how.

    `policy`: `none`; `budget`, until no more than `experts` experts and `bytes` bytes are left (0: no such limit);
    `tiered`, `fanout` experts of one size as soon as there are so many; `pool`, one expert for each of `experts` places
    (the growth policy `fixed_pool`). `method`: training on the facts (`distil`), arithmetic on the experts, or both:
    `mean_distil` trains on from the mean of experts of one answer, and others anew; `cat_distil` is `cat` where the
    whole group still answers, and trains on from there where not. `facts_per_expert` limits
    what a merged expert holds (not in a pool), `rank` its rank (0: the recipe's; `cat` keeps all ranks then).
    `density`: the share of numbers that TIES and DARE keep.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Literal["none", "budget", "tiered", "pool"] = "none"
    method: Method = "mean_distil"
    experts: Annotated[int, Field(ge=0)] = 0
    bytes: Annotated[int, Field(ge=0)] = 0
    facts_per_expert: Annotated[int, Field(ge=2, le=1024)] = 4
    fanout: Annotated[int, Field(ge=2, le=64)] = 4
    rank: Annotated[int, Field(ge=0, le=256)] = 0
    density: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5

    @model_validator(mode="after")
    def _has_its_limit(self) -> Merging:
        if self.policy == "budget" and not (self.experts or self.bytes):
            raise ValueError("the policy budget needs a number of experts or bytes")
        if self.policy == "pool" and not self.experts:
            raise ValueError("the policy pool needs a number of experts")
        return self


@dataclass(frozen=True)
class Carried:
    """An expert in use: the facts it carries by number, its bytes, and how they ask and what they answer.

    `pattern` and `answer` are those of its facts where all share them, else of the first and empty.
    """

    expert: str
    facts: tuple[int, ...]
    bytes: int
    pattern: str
    answer: str


Group = tuple[Carried, ...]


def plan(experts: Sequence[Carried], dials: Merging, size: Callable[[Group], int]) -> list[Group]:
    """The groups of two or more experts to merge, no expert in two; `size` is what a group takes once merged."""
    if dials.policy == "budget":
        return _to_budget(experts, dials, size)
    if dials.policy == "tiered":
        return _tiered(experts, dials)
    if dials.policy == "pool":
        places = _gathered(experts, lambda one: place_of(one.pattern, dials.experts))
        return [group for group in places if len(group) > 1]
    return []


def halves(group: Group) -> list[Group]:
    """What to try of a group that did not hold: its two halves, as far as these are still groups."""
    middle = len(group) // 2
    return [half for half in (group[:middle], group[middle:]) if len(half) > 1]


def _to_budget(experts: Sequence[Carried], dials: Merging, size: Callable[[Group], int]) -> list[Group]:
    """The most alike first, the largest groups of these first, and no more than the budget asks for."""
    count, total = len(experts), sum(one.bytes for one in experts)
    chosen: list[Group] = []
    for group in _candidates(experts, dials.facts_per_expert):
        enough = (not dials.experts or count <= dials.experts) and (not dials.bytes or total <= dials.bytes)
        if enough:
            break
        saved = sum(one.bytes for one in group) - size(group)
        if saved <= 0 and not dials.experts:
            continue
        chosen.append(group)
        count -= len(group) - 1
        total -= saved
    return chosen


_ALIKE: tuple[Callable[[Carried], object], ...] = (
    lambda one: (one.pattern, one.answer),
    lambda one: one.answer,
    lambda one: one.pattern,
    lambda _: None,
)


def _candidates(experts: Sequence[Carried], most_facts: int) -> Iterator[Group]:
    """Groups of at most `most_facts` facts, from the most alike to the least; full ones before others."""
    left = sorted(experts, key=lambda one: one.facts)
    for alike in _ALIKE:
        groups = [group for cluster in _gathered(left, alike) for group in _cut(cluster, most_facts) if len(group) > 1]
        full = [group for group in groups if 2 * sum(len(one.facts) for one in group) > most_facts]
        # What fills less than half of an expert waits for company that is less alike; at the end it takes what it gets.
        taken = groups if alike is _ALIKE[-1] else full
        yield from sorted(taken, key=lambda group: -sum(len(one.facts) for one in group))
        gone = {one.expert for group in taken for one in group}
        left = [one for one in left if one.expert not in gone]


def _cut(cluster: Sequence[Carried], most_facts: int) -> Iterator[Group]:
    """Runs of experts that together hold at most `most_facts` facts."""
    run: list[Carried] = []
    for one in cluster:
        if run and sum(len(member.facts) for member in run) + len(one.facts) > most_facts:
            yield tuple(run)
            run = []
        run.append(one)
    if run:
        yield tuple(run)


def _tiered(experts: Sequence[Carried], dials: Merging) -> list[Group]:
    """Of each tier (experts of like size, a `fanout` apart) as many full groups as there are; the rest waits."""
    tiers: dict[int, list[Carried]] = defaultdict(list)
    for one in experts:
        tiers[_tier(len(one.facts), dials.fanout)].append(one)
    groups = []
    for tier in sorted(tiers):
        alike = sorted(tiers[tier], key=lambda one: (one.answer, one.pattern, one.facts))
        whole = len(alike) // dials.fanout * dials.fanout
        groups += [tuple(alike[start : start + dials.fanout]) for start in range(0, whole, dials.fanout)]
    return [group for group in groups if sum(len(one.facts) for one in group) <= dials.facts_per_expert]


def _tier(facts: int, fanout: int) -> int:
    tier = 0
    while facts >= fanout:
        facts //= fanout
        tier += 1
    return tier


def _gathered(experts: Sequence[Carried], by: Callable[[Carried], object]) -> list[Group]:
    """Experts by what they have in common, first come first."""
    found: dict[object, list[Carried]] = defaultdict(list)
    for one in experts:
        found[by(one)].append(one)
    return [tuple(group) for group in found.values()]
