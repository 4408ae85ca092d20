"""Records to probes: which facts of a stream are scored, which of their probes count, and as what.

Of each key the latest record is scored, as the log would have it: the same record again adds nothing. A probe
that another edit governs, or that is wrongly labelled, is counted and left out (`probe_rules`); so is one that is
its own fact's prompt or rephrase: it would measure what was learnt.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from editlog.canonical import fold
from editlog.fact import Fact, Probe
from lifelong.anchors.subject import Name, NameIndex, subject_name
from lifelong.evaluation.probe_rules import (
    KINDS,
    Correction,
    Edit,
    Kind,
    is_apart,
    is_corrected_again,
    kind_of,
)

NO_TRUTHS: Mapping[str, Collection[str]] = {}


class ProbeItem(NamedTuple):
    """A probe that counts: the index of its fact in `ProbeSet.facts`, its prompt and the answer expected."""

    fact: int
    prompt: str
    answer: str | None


@dataclass(frozen=True)
class ProbeSet:
    """What a stream is scored on; `governed` and `dropped` count probes by what they were to measure.

    `records` were taken, `superseded` of them say nothing any more, `facts` are scored.
    """

    records: int
    superseded: int
    facts: tuple[Fact, ...]
    generality: list[ProbeItem] = field(default_factory=list)
    locality: dict[Kind, list[ProbeItem]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    portability: list[ProbeItem] = field(default_factory=list)
    governed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def collect(
    records: Iterable[Fact],
    others: Iterable[Fact] = (),
    *,
    scored: Callable[[Fact], bool] = lambda _: True,
    truths: Mapping[str, Collection[str]] = NO_TRUTHS,
) -> ProbeSet:
    """The governing facts of a stream that are `scored`, and their probes that count.

    `others` are edits that are served beside the stream: they are not scored, but may govern its probes, as do the
    facts of the stream that are not scored. `truths` are what was true before edits, by the digests of their facts.
    """
    listed = list(records)
    live = governing(listed)
    facts = tuple(fact for fact in live if scored(fact))
    probes = ProbeSet(records=len(listed), superseded=len(listed) - len(live), facts=facts)
    stream = _Stream(facts, (*(fact for fact in live if not scored(fact)), *others), truths)
    again = _corrected_again(listed, live, truths)
    for index, fact in enumerate(facts):
        for probe in fact.probes.generality:
            if fact.digest in again:
                probes.governed["generality"] += 1
            elif stream.counts(probe, index, "generality", probes):
                probes.generality.append(ProbeItem(index, probe.prompt, probe.answer or fact.target))
        for probe in fact.probes.portability:
            if stream.counts(probe, index, "portability", probes):
                probes.portability.append(ProbeItem(index, probe.prompt, probe.answer))
        for probe in fact.probes.locality:
            if stream.is_own(probe, index):
                probes.dropped["locality"] += 1
            elif stream.governs(probe, index):
                probes.governed["locality"] += 1
            else:
                probes.locality[stream.kind(probe, index)].append(ProbeItem(index, probe.prompt, probe.answer))
    return probes


def governing(records: Iterable[Fact]) -> tuple[Fact, ...]:
    """The latest fact of each key; a record that was there before, word for word, does not come back."""
    known: set[str] = set()
    latest: dict[str, Fact] = {}
    for fact in records:
        if fact.digest not in known:
            known.add(fact.digest)
            latest[fact.key] = fact
    return tuple(latest.values())


def _corrected_again(
    listed: Sequence[Fact], live: Sequence[Fact], truths: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """The digests of the facts that a later record of the stream corrects again in other words."""
    place = {fact.digest: number for number, fact in enumerate(listed)}
    of_subject: dict[str, list[Fact]] = defaultdict(list)
    for fact in live:
        if fact.subject and fact.digest in truths:
            of_subject[fold(fact.subject)].append(fact)
    found = set()
    for facts in of_subject.values():
        for fact in facts if len(facts) > 1 else ():
            later = [
                Correction(one.prompt, one.target, truths[one.digest])
                for one in facts
                if place[one.digest] > place[fact.digest]
            ]
            if is_corrected_again(fact.prompt, truths[fact.digest], fact.target, later):
                found.add(fact.digest)
    return frozenset(found)


class _Stream:
    """What the rules need to know of all facts together: their names, and who owns which wording."""

    def __init__(
        self, facts: Sequence[Fact], others: Sequence[Fact], truths: Mapping[str, Collection[str]] = NO_TRUTHS
    ) -> None:
        self._facts = facts
        everything = (*facts, *others)
        self._names: list[Name] = [subject_name(fact.subject, _wordings(fact)) for fact in everything]
        self._index = NameIndex(self._names)
        self._edits: dict[Name, list[Edit]] = defaultdict(list)
        for name, fact in zip(self._names, everything, strict=True):
            answers = (fact.target, *truths.get(fact.digest, ()))
            self._edits[name].append(Edit(_wordings(fact), answers, fact.relation))
        self._prompts = frozenset(fold(fact.prompt) for fact in (*facts, *others))

    def counts(self, probe: Probe, index: int, measures: str, probes: ProbeSet) -> bool:
        """Whether a probe in scope counts; if it does not, `probes` is told why."""
        if self.is_own(probe, index):
            probes.dropped[measures] += 1
            return False
        if fold(probe.prompt) in self._prompts:
            probes.governed[measures] += 1
            return False
        return True

    def is_own(self, probe: Probe, index: int) -> bool:
        """Whether a probe is its own fact's prompt or rephrase."""
        return fold(probe.prompt) in {fold(wording) for wording in self._facts[index].wordings}

    def governs(self, probe: Probe, index: int) -> bool:
        """Whether a locality probe is in the scope of an edit of the stream, its own fact's included."""
        name, answers = self._names[index], [probe.answer] if probe.answer else []
        edits = self._edits[name]
        return is_apart(probe.prompt, answers, name, others=self._index, prompts=self._prompts, edits=edits)

    def kind(self, probe: Probe, index: int) -> Kind:
        return kind_of(probe.prompt, self._names[index], _wordings(self._facts[index]))


def _wordings(fact: Fact) -> tuple[str, ...]:
    """Everything the record has to say the fact with, probes included: here nothing is learnt from them."""
    return (*fact.wordings, *(probe.prompt for probe in fact.probes.generality))
