"""The audit's verdict, tested with sets: limits hold or do not, and bisection finds who spoilt it."""

from hypothesis import given
from hypothesis import strategies as st

from policies.audit import Limits, Measured, Score, culprits_among, isolate


def test_nothing_measured_is_nothing_wrong():
    assert Score().share == 1.0


def test_limits_hold_at_the_limit_and_not_below_it():
    limits = Limits(locality=0.9, retention=0.5)
    assert limits.held_by(Score(9, 10), Score(1, 2))
    assert not limits.held_by(Score(8, 10), Score(2, 2))
    assert not limits.held_by(Score(10, 10), Score(0, 2))


@given(st.sets(st.integers(0, 199), max_size=12))
def test_bisection_names_exactly_the_culprits(culprits):
    audits = 0

    def holds_without(gone):
        nonlocal audits
        audits += 1
        return culprits <= gone

    assert isolate(range(200), holds_without) == culprits
    assert audits <= 2 + 2 * 9 * max(1, len(culprits))


def test_a_tolerance_lets_some_culprits_stay():
    culprits = {3, 4, 5}
    held = isolate(range(10), lambda gone: len(culprits - gone) <= 1)
    assert held is not None and len(held & culprits) == 2


def test_when_holding_everyone_does_not_help_there_is_no_answer():
    assert isolate([1, 2, 3], lambda gone: False) is None


def layered(layers, *, takers=frozenset(), spoilt=frozenset(), tolerated=0):
    """Measures a job in which each layer of culprits shows once those before it are gone; keeps what was asked."""
    asked = []

    def without(gone):
        asked.append(gone)
        showing = next((layer - gone for layer in layers if layer - gone), frozenset())
        holds = len(showing) <= tolerated and not showing & takers and spoilt <= gone
        return Measured(holds, frozenset(showing & takers), frozenset(showing))

    return without, asked


def test_those_seen_are_held_in_one_measurement_for_each_layer():
    without, asked = layered([frozenset({1, 2, 3}), frozenset({7})])
    assert culprits_among(range(10), without(frozenset()), without) == {1, 2, 3, 7}
    assert len(asked) == 3


def test_who_takes_a_wording_is_held_even_where_the_limits_are_kept():
    without, _ = layered([frozenset({4, 5})], takers=frozenset({4}), tolerated=2)
    assert culprits_among(range(10), without(frozenset()), without) == {4}


def test_what_cannot_be_seen_is_found_by_bisection():
    without, _ = layered([], spoilt=frozenset({6}))
    assert culprits_among(range(10), without(frozenset()), without) == {6}


def test_a_job_that_holds_blames_nobody():
    without, _ = layered([])
    assert culprits_among(range(10), without(frozenset()), without) == frozenset()


def test_no_one_is_named_where_holding_everyone_does_not_help():
    without, _ = layered([frozenset({1})], spoilt=frozenset({99}))
    assert culprits_among(range(10), without(frozenset()), without) is None
