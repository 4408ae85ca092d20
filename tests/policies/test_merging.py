"""Which experts become one is decided on plain data: how alike they are, how large, and what budget there is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.merging import Carried, Group, Merging, halves, plan

BYTES = 4112


def experts(*answers: str, pattern: str = "speaks", start: int = 1, facts: int = 1) -> list[Carried]:
    """One expert for each answer, of so many facts."""
    return [
        Carried(
            f"{pattern}-{start + i}", tuple(range(start + i * facts, start + (i + 1) * facts)), BYTES, pattern, answer
        )
        for i, answer in enumerate(answers)
    ]


def one_expert(_: Group) -> int:
    """A merged expert is as large as any."""
    return BYTES


def groups(found: list[Carried], **dials: Any) -> list[set[str]]:
    return [{one.expert for one in group} for group in plan(found, Merging(**dials), one_expert)]


def test_nothing_is_merged_unless_a_policy_says_so() -> None:
    assert groups(experts("French", "French", "French")) == []


def test_within_the_budget_nothing_is_merged() -> None:
    assert groups(experts("French", "French"), policy="budget", experts=2) == []
    assert groups(experts("French", "French"), policy="budget", bytes=2 * BYTES) == []


def test_what_answers_the_same_is_merged_first_and_no_more_than_needed() -> None:
    found = experts("French", "Welsh", "French", "Czech", "French", "Welsh")
    assert groups(found, policy="budget", experts=5) == [{"speaks-1", "speaks-3", "speaks-5"}]


def test_a_budget_of_bytes_is_kept() -> None:
    found = experts(*["French"] * 8, *["Welsh"] * 8)
    merged = groups(found, policy="budget", bytes=4 * BYTES, facts_per_expert=4)
    assert len(merged) == 4
    assert len(found) - sum(map(len, merged)) + len(merged) == 4


def test_the_same_answer_to_another_question_comes_before_another_answer() -> None:
    found = [*experts("Paris", pattern="born in"), *experts("Paris", "Rome", pattern="lives in", start=2)]
    assert groups(found, policy="budget", experts=2, facts_per_expert=2) == [{"born in-1", "lives in-2"}]


def test_nothing_is_put_together_that_saves_no_bytes() -> None:
    found = experts("French", "French")
    assert plan(found, Merging(policy="budget", bytes=1), lambda group: sum(one.bytes for one in group)) == []


def test_an_expert_is_in_one_group_at_most_and_no_group_is_too_large() -> None:
    found = [*experts(*"abcabcaab"), *experts(*"abcd", pattern="plays", start=20)]
    merged = plan(found, Merging(policy="budget", experts=1, facts_per_expert=4), one_expert)
    members = [one.expert for group in merged for one in group]
    assert len(members) == len(set(members))
    assert all(2 <= sum(len(one.facts) for one in group) <= 4 for group in merged)


def test_the_order_in_which_experts_are_named_changes_nothing() -> None:
    found = experts(*"abcabcaab")
    dials = {"policy": "budget", "experts": 3}
    assert groups(found, **dials) == groups(found[::-1], **dials)


def test_tiers_merge_as_soon_as_there_are_enough_of_one_size() -> None:
    """As a log-structured store does: four small ones become one, four of those a larger one."""
    dials = {"policy": "tiered", "fanout": 4, "facts_per_expert": 64}
    small = experts(*"aaa")
    assert groups(small, **dials) == []
    assert groups([*small, *experts("a", start=9)], **dials) == [{"speaks-1", "speaks-2", "speaks-3", "speaks-9"}]
    large = experts(*"aaaa", start=100, facts=4)
    assert groups([*small, *large], **dials) == [{one.expert for one in large}]


def test_tiers_end_at_the_largest_expert_there_may_be() -> None:
    assert groups(experts(*"aaaa", facts=4), policy="tiered", fanout=4, facts_per_expert=8) == []


def test_a_pool_has_one_expert_a_place() -> None:
    found = [*experts(*"abc"), *experts(*"ab", pattern="plays", start=20)]
    assert groups(found, policy="pool", experts=1) == [{one.expert for one in found}]
    assert {"speaks-1", "speaks-2", "speaks-3"} <= set().union(*groups(found, policy="pool", experts=1000))


def test_a_group_that_does_not_hold_is_tried_in_halves() -> None:
    four = tuple(experts(*"aaaa"))
    assert halves(four) == [four[:2], four[2:]]
    assert halves(four[:3]) == [four[1:3]]
    assert halves(four[:2]) == []


@pytest.mark.parametrize("dials", [{"policy": "budget"}, {"policy": "pool"}, {"method": "average"}, {"density": 1.0}])
def test_dials_that_cannot_be_are_refused(dials: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Merging(**dials)
