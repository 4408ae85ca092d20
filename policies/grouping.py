"""Grouping: pending facts into conflict-free mini-batches, and those into waves.

Similar facts stand together (same relation, else the same wording around the subject), no two facts of one
key stand in one mini-batch, and the result depends on the facts alone, not on the order they came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

GroupingPolicy = Literal["similar", "k_means"]


@dataclass(frozen=True)
class Groupable:
    """What grouping may know of a fact: its number in the log, its key, and the texts that tell what is alike."""

    seq: int
    key: str
    prompt: str
    subject: str | None = None
    relation: str | None = None
    target: str = ""

    @property
    def pattern(self) -> str:
        """The relation, or the prompt with its subject taken out: facts that share it are alike."""
        if self.relation:
            return self.relation.casefold()
        text = self.prompt.casefold()
        if self.subject:
            text = text.replace(self.subject.casefold(), "\x00")
        return re.sub(r"\W+", " ", text.replace("\x00", " _ ")).strip()

    @property
    def answer(self) -> str:
        """The target as it is compared: facts that share it want the same of an expert."""
        return " ".join(self.target.casefold().split())


def mini_batches(facts: Iterable[Groupable], size: int, policy: GroupingPolicy = "similar") -> list[tuple[int, ...]]:
    """Group facts by likeness into mini-batches of at most `size`, never two of one key in the same one.

    Alike are facts that ask alike (`similar`), or whose prompts and targets k-means puts together (`k_means`). Returns
    the facts' sequence numbers. Where facts of one key conflict, the earlier goes into the earlier mini-batch.
    """
    batches: list[tuple[int, ...]] = []
    known = sorted(facts, key=lambda fact: fact.seq)
    waiting = sorted(known, key=lambda fact: fact.pattern) if policy == "similar" else k_means_order(known, size)
    while waiting:
        batch: dict[str, int] = {}
        later: list[Groupable] = []
        for fact in waiting:
            if fact.key in batch:
                later.append(fact)
                continue
            batch[fact.key] = fact.seq
            if len(batch) == size:
                batches.append(tuple(batch.values()))
                batch = {}
        if batch:
            batches.append(tuple(batch.values()))
        waiting = later
    return batches


def k_means_order(facts: Sequence[Groupable], size: int) -> list[Groupable]:
    """Facts by their cluster, the largest first, with as many clusters as mini-batches of `size` would hold them."""
    from policies.clustering import k_means, text_vectors  # numpy: not before it is needed

    of_fact = k_means(text_vectors([f"{fact.prompt} {fact.target}" for fact in facts]), -(-len(facts) // size)).tolist()
    sizes = {cluster: of_fact.count(cluster) for cluster in set(of_fact)}
    places = sorted(range(len(facts)), key=lambda place: (-sizes[of_fact[place]], of_fact[place], place))
    return [facts[place] for place in places]


def waves(batches: Sequence[tuple[int, ...]], facts_per_wave: int) -> list[list[tuple[int, ...]]]:
    """Put consecutive mini-batches together until a wave holds `facts_per_wave` facts."""
    result: list[list[tuple[int, ...]]] = []
    room = 0
    for batch in batches:
        if not result or room < len(batch):
            result.append([])
            room = max(facts_per_wave, len(batch))
        result[-1].append(batch)
        room -= len(batch)
    return result
