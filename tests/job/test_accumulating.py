"""Editors whose facts share weights: what is taken out of them changes how the others answer."""

from lifelong.jobs.accumulating import in_rounds
from lifelong.jobs.audit import Failure

WRONG = Failure("not-answered", "its expert answers it otherwise", "", "")


def test_facts_are_taken_out_until_all_that_is_left_is_answered():
    """Fact 2 stood on what was learnt for fact 1, and fact 3 on fact 2."""
    stood_on = {1: 2, 2: 3}
    rounds = []

    def left_after(gone):
        rounds.append(set(gone))
        return {stood_on[fact]: WRONG for fact in gone if fact in stood_on}

    assert in_rounds({1: WRONG}, left_after) == {1: WRONG, 2: WRONG, 3: WRONG}
    assert rounds == [{1}, {2}, {3}]


def test_where_all_are_answered_nothing_is_taken_out():
    assert in_rounds({}, lambda gone: {}) == {}
