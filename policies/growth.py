"""Growth: which facts of a wave share an expert.

Every policy takes the wave's mini-batches and gives back groups of fact numbers, one an expert; each fact is in one
group, and no two facts of one key share an expert. The order of the result depends on the facts alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

from policies.grouping import Groupable

Group = tuple[int, ...]
GrowthPolicy = Literal["per_fact", "mini_batch", "per_cluster", "fixed_pool"]


def expert_groups(mini_batch: Sequence[int], facts_per_expert: int) -> list[Group]:
    """Cut a mini-batch into experts of at most `facts_per_expert` facts, as even in size as can be."""
    count = -(-len(mini_batch) // facts_per_expert)
    bounds = [round(i * len(mini_batch) / count) for i in range(count + 1)] if count else []
    return [tuple(mini_batch[low:high]) for low, high in pairwise(bounds)]


def grow(
    policy: GrowthPolicy, mini_batches: Sequence[Sequence[Groupable]], *, facts_per_expert: int, pool: int
) -> list[Group]:
    """The expert groups of a wave.

    `per_fact`: each fact alone. `mini_batch`: the facts of a mini-batch, cut to at most `facts_per_expert`.
    `per_cluster`: facts that ask alike and answer the same, over the whole wave, cut so too. `fixed_pool`: facts by
    the place of their cluster among `pool` places, however many fall into one; merging keeps it one expert a place.
    """
    facts = [fact for batch in mini_batches for fact in batch]
    if policy == "per_fact":
        return [(fact.seq,) for fact in facts]
    if policy == "mini_batch":
        cut = (expert_groups([fact.seq for fact in batch], facts_per_expert) for batch in mini_batches)
        return [group for groups in cut for group in groups]
    if policy == "per_cluster":
        clusters = _gathered(facts, lambda fact: (fact.pattern, fact.answer))
        return [group for cluster in clusters for group in expert_groups(cluster, facts_per_expert)]
    return [tuple(place) for place in _gathered(facts, lambda fact: place_of(fact.pattern, pool))]


def place_of(pattern: str, pool: int) -> int:
    """The place among `pool` places of all facts that ask alike, the same on every machine."""
    return int.from_bytes(hashlib.sha256(pattern.encode()).digest()[:8], "big") % pool


def _gathered(facts: Iterable[Groupable], cluster_of: Callable[[Groupable], object]) -> list[list[int]]:
    """Facts by cluster, first come first; a fact whose key is in its cluster already begins another."""
    clusters: dict[tuple[object, int], dict[str, int]] = {}
    for fact in facts:
        turn = 0
        while fact.key in clusters.setdefault((cluster_of(fact), turn), {}):
            turn += 1
        clusters[cluster_of(fact), turn][fact.key] = fact.seq
    return [list(cluster.values()) for cluster in clusters.values()]
