"""Several streams of edits as one, with records that come again word for word and records that are contradicted.

Each stream keeps its order and is spread evenly over the whole. A record that comes again stands somewhere behind its
first place, drawn by seed: unchanged (a repeat, which changes nothing), or with the target of another record of its
stream (a contradiction: the latest is to win). No record is drawn twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from editlog.canonical import fold
from editlog.errors import UsageError
from editlog.fact import Fact, Probe, Probes


def interleaved(
    streams: Sequence[Sequence[Fact]], *, repeats: int = 0, contradictions: int = 0, seed: int = 0
) -> list[Fact]:
    """All records of all streams, with so many repeats and contradictions among them.

    Raises UsageError where there are too few records to draw these from.
    """
    draw = Random(seed)  # noqa: S311 - a sample, not a secret
    placed = [(place, number, fact) for number, facts in enumerate(streams) for place, fact in _spread(facts)]
    placed.sort(key=lambda one: one[:2])
    wanted = repeats + contradictions
    if wanted > len(placed):
        raise UsageError(f"the stream has {len(placed)} records; {wanted} of them cannot come again")
    drawn = draw.sample(range(len(placed)), wanted)
    again = []
    for count, index in enumerate(drawn):
        place, number, fact = placed[index]
        said = fact if count < repeats else contradicted(fact, draw.choice(_other_targets(streams[number], fact)))
        again.append((draw.uniform(place, 1.0), number, said))
    return [fact for _, _, fact in sorted([*placed, *again], key=lambda one: one[:2])]


def contradicted(fact: Fact, target: str) -> Fact:
    """The same fact with another target. Its probes of what follows from the old one are left out."""
    generality = tuple(Probe(prompt=probe.prompt) for probe in fact.probes.generality)
    probes = Probes(generality=generality, locality=fact.probes.locality)
    return Fact.model_validate({**fact.record(), "target": target, "probes": probes})


def edited_again(facts: Iterable[Fact]) -> set[str]:
    """The digests of facts that a stream gives another target than their key had before."""
    target_of: dict[str, str] = {}
    found = set()
    for fact in facts:
        before = target_of.setdefault(fact.key, fact.target)
        if fold(before) != fold(fact.target):
            found.add(fact.digest)
        target_of[fact.key] = fact.target
    return found


def _spread(facts: Sequence[Fact]) -> Iterator[tuple[float, Fact]]:
    """Each record with its place in a stream from 0 to 1."""
    return (((i + 0.5) / len(facts), fact) for i, fact in enumerate(facts))


def _other_targets(facts: Sequence[Fact], fact: Fact) -> list[str]:
    others = [other.target for other in facts if fold(other.target) != fold(fact.target)]
    if not others:
        raise UsageError(f"no record has another target than {fact.prompt[:80]!r} that could contradict it")
    return others
