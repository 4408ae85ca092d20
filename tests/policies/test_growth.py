"""How many facts share an expert, and which: a dial of the recipe, decided on plain data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.grouping import Groupable
from policies.growth import GrowthPolicy, grow

POLICIES: tuple[GrowthPolicy, ...] = ("per_fact", "mini_batch", "per_cluster", "fixed_pool")


def fact(seq: int, relation: str = "speaks", target: str = "French", key: str | None = None) -> Groupable:
    return Groupable(seq, key or f"key-{seq}", f"{seq} speaks", str(seq), relation, target)


def groups(policy: GrowthPolicy, *batches: list[Groupable], facts_per_expert: int = 2, pool: int = 4) -> list[set[int]]:
    found = grow(policy, batches, facts_per_expert=facts_per_expert, pool=pool)
    return [set(group) for group in found]


def test_per_fact_gives_each_its_own() -> None:
    assert groups("per_fact", [fact(1), fact(2)], [fact(3)]) == [{1}, {2}, {3}]


def test_a_mini_batch_is_cut_and_never_crossed() -> None:
    assert groups("mini_batch", [fact(1), fact(2), fact(3)], [fact(4)]) == [{1, 2}, {3}, {4}]


def test_a_cluster_asks_alike_and_answers_the_same_over_the_whole_wave() -> None:
    first = [fact(1), fact(2, target="Welsh"), fact(3, relation="plays")]
    assert groups("per_cluster", first, [fact(4, target=" french ")]) == [{1, 4}, {2}, {3}]


def test_a_pool_has_no_more_experts_than_places() -> None:
    wave = [fact(seq, relation=f"relation {seq}") for seq in range(1, 50)]
    found = groups("fixed_pool", wave, pool=4)
    assert len(found) <= 4
    assert sorted(map(sorted, found)) == sorted(map(sorted, groups("fixed_pool", wave[::-1], pool=4)))


@pytest.mark.parametrize("policy", POLICIES)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3)), max_size=12),
    st.integers(1, 4),
)
def test_every_fact_has_one_expert_and_no_two_of_a_key_share_it(
    policy: GrowthPolicy, drawn: list[tuple[str, str, int]], facts_per_expert: int
) -> None:
    """A mini-batch has no key twice, but a wave may."""
    facts = [fact(seq, relation, target, f"{relation}{key}") for seq, (relation, target, key) in enumerate(drawn)]
    batches = [[one] for one in facts]
    found = grow(policy, batches, facts_per_expert=facts_per_expert, pool=3)
    assert sorted(seq for group in found for seq in group) == [one.seq for one in facts]
    keys = {one.seq: one.key for one in facts}
    assert all(len({keys[seq] for seq in group}) == len(group) for group in found)
    if policy != "fixed_pool":
        assert all(len(group) <= facts_per_expert for group in found)
