"""What must stay out of training, decided on text alone.

Contract: a fact that a benchmark wants to teach, a prompt that a benchmark measures with, and a running
sentence that says either, are refused. `Exclusions` counts every refusal by reason, so that the card can
print them.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from pretraining import sources
from pretraining.sources import Triple, Wanted

# Shorter probes are compared as a whole: as parts of a sentence they would refuse ordinary English.
SHORTEST_CONTAINED_PROBE = 4
_HEAD = 3


def fold(text: str) -> str:
    """Return the text as it is compared: NFC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


class Exclusions:
    """Says which facts, prompts and sentences are refused, and counts them."""

    def __init__(self, wanted: Iterable[Wanted], probes: Iterable[str]) -> None:
        self.refused: Counter[str] = Counter()
        self._pairs: set[frozenset[str]] = set()
        self._answers: set[tuple[str, str]] = set()
        self._subjects: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
        self._probes: set[str] = set()
        self._probe_heads: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for item in wanted:
            subject, target = fold(item.subject), fold(item.target)
            # Both directions: a symmetric wording says the same thing the other way round.
            self._pairs.add(frozenset((subject, target)))
            self._answers.add((fold(item.prompt), target))
            self._subjects[tuple(subject.split()[:_HEAD])].append((subject, target))
        for probe in map(fold, probes):
            if probe in self._probes:
                continue
            self._probes.add(probe)
            words = tuple(probe.split())
            if len(words) >= SHORTEST_CONTAINED_PROBE:
                self._probe_heads[words[:_HEAD]].append(words)

    @classmethod
    def from_data(cls, data: Path) -> "Exclusions":
        """Build the exclusions of all benchmarks in the data folder."""
        return cls(sources.benchmark_targets(data), sources.benchmark_probes(data))

    def wants(self, subject: str, target: str) -> bool:
        """Say whether a benchmark wants to teach this (subject, object), in either direction."""
        return frozenset((fold(subject), fold(target))) in self._pairs

    def refuses_fact(self, fact: Triple) -> bool:
        """Say whether a benchmark wants to teach this fact."""
        return self._count("fact is a benchmark target", self.wants(fact.subject, fact.object))

    def refuses_prompt(self, prompt: str, answer: str) -> bool:
        """Say whether the prompt holds a probe, or the answer is the new target of that very prompt."""
        folded = fold(prompt)
        return self._count("prompt holds a probe", self._holds_probe(folded)) or self._count(
            "answer is the prompt's new target", (folded, fold(answer)) in self._answers
        )

    def refuses_text(self, text: str) -> bool:
        """Say whether running text holds a probe, or names an edited subject together with its new target."""
        folded = fold(text)
        return self._count("text holds a probe", self._holds_probe(folded)) or self._count(
            "text names a subject with its new target", self._states_target(folded)
        )

    def _holds_probe(self, folded: str) -> bool:
        if folded in self._probes:
            return True
        words = tuple(folded.split())
        return any(
            words[start : start + len(probe)] == probe
            for start in range(len(words) - _HEAD + 1)
            for probe in self._probe_heads.get(words[start : start + _HEAD], ())
        )

    def _states_target(self, folded: str) -> bool:
        words = tuple(folded.split())
        padded = f" {folded} "
        return any(
            f" {subject} " in padded and f" {target} " in padded
            for start in range(len(words))
            for width in range(1, _HEAD + 1)
            for subject, target in self._subjects.get(words[start : start + width], ())
        )

    def _count(self, reason: str, refused: bool) -> bool:
        self.refused[reason] += refused
        return refused
