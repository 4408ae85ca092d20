"""What is served: the facts that govern a prompt today or on some day, and the wordings kept as misses.

Decided on the log's facts alone, so that a snapshot can always be made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from editlog.events import moment
from editlog.fact import Fact
from editlog.history import LoggedFact


@dataclass(frozen=True)
class Served:
    """One fact as a snapshot carries it. A `negative` one has no expert: its wordings are kept as misses."""

    seq: int
    fact: Fact
    actor: str
    recorded_at: str
    job: str | None
    expert: str | None
    negative: bool = False

    @property
    def ref(self) -> str:
        """The name users know the fact by."""
        return f"f{self.seq}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; `Served.from_dict` reads it back."""
        return {
            "seq": self.seq,
            "fact": self.fact.record(),
            "actor": self.actor,
            "recorded_at": self.recorded_at,
            "job": self.job,
            "expert": self.expert,
            "negative": self.negative,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Served:
        """Read what `to_dict` wrote; raises ValueError or KeyError for anything else."""
        return cls(
            seq=int(data["seq"]),
            fact=Fact.model_validate(data["fact"]),
            actor=data["actor"],
            recorded_at=data["recorded_at"],
            job=data["job"],
            expert=data["expert"],
            negative=bool(data["negative"]),
        )


def served_facts(facts: Iterable[LoggedFact]) -> list[Served]:
    """The facts to serve, in the order of the log.

    Of each key the latest unretracted fact that has an expert, and behind one that holds only for some time
    the earlier ones it would hide. Where a key is left with none, the wordings of its retracted facts stay
    as negatives, so that they do not fall to a neighbour.
    """
    result: list[Served] = []
    for group in _latest_first_by_key(facts):
        live = [fact for fact in group if not fact.retracted_by and fact.expert]
        if live:
            result.extend(_served(fact) for fact in _visible(live))
        else:
            gone = [fact for fact in group if fact.retracted_by and fact.expert]
            result.extend(_served(fact, negative=True) for fact in gone)
    return sorted(result, key=lambda served: served.seq)


def pending_facts(facts: Iterable[LoggedFact]) -> dict[int, Fact]:
    """The facts a job has still to apply, by number: unretracted, not hidden for good, and without an outcome."""
    groups = _latest_first_by_key(facts)
    live = [[fact for fact in group if not fact.retracted_by] for group in groups]
    waiting = [fact for group in live for fact in _visible(group) if not fact.has_outcome]
    return {fact.seq: fact.fact for fact in sorted(waiting, key=lambda fact: fact.seq)}


def governing_moments(facts: Iterable[Served], now: datetime) -> dict[int, datetime]:
    """For each fact a moment at which it governs its key, `now` where it does; none for one that never shows."""
    by_key: dict[str, list[Served]] = defaultdict(list)
    for served in facts:
        if not served.negative:
            by_key[served.fact.key].append(served)
    found: dict[int, datetime] = {}
    for group in by_key.values():
        for when in _moments(group, now):
            valid = [served.seq for served in group if served.fact.valid_at(when)]
            if valid:
                found.setdefault(max(valid), when)
    return found


def _moments(group: Sequence[Served], now: datetime) -> list[datetime]:
    """Now, and a moment of every span of time over which the same facts of the group are valid."""
    bounds = sorted({b for served in group for b in (served.fact.valid_from, served.fact.valid_to) if b})
    return [now, *bounds, bounds[0] - timedelta(microseconds=1)] if bounds else [now]


def _latest_first_by_key(facts: Iterable[LoggedFact]) -> list[list[LoggedFact]]:
    by_key: dict[str, list[LoggedFact]] = defaultdict(list)
    for fact in facts:
        by_key[fact.fact.key].append(fact)
    return [sorted(group, key=lambda fact: fact.seq, reverse=True) for group in by_key.values()]


def _visible(latest_first: list[LoggedFact]) -> list[LoggedFact]:
    """Facts up to and including the first that always holds: what lies behind it can never show."""
    visible = []
    for fact in latest_first:
        visible.append(fact)
        if fact.fact.valid_from is None and fact.fact.valid_to is None:
            break
    return visible


def _served(logged: LoggedFact, *, negative: bool = False) -> Served:
    return Served(
        seq=logged.seq,
        fact=logged.fact,
        actor=logged.actor,
        recorded_at=moment(logged.at),
        job=logged.job,
        expert=None if negative else logged.expert,
        negative=negative,
    )
