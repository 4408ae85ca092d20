"""A threshold keeps the false-hit rate it promises, on data it has not seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.calibration import LocalityBudget, Tail, calibrate


def test_two_per_cent_of_negatives_pass():
    negatives = np.arange(999.0)
    threshold = calibrate(negatives, 0.02)
    assert (negatives >= threshold).sum() == 19  # (1 + 19) / (1 + 999) = 2 %


def test_the_promise_holds_on_fresh_negatives():
    draw = np.random.default_rng(0)
    rates = [np.mean(draw.normal(size=2000) >= calibrate(draw.normal(size=199), 0.05)) for _ in range(200)]
    assert np.mean(rates) <= 0.052


def test_too_few_negatives_promise_nothing():
    assert calibrate([0.1] * 48, 0.02) == float("inf")
    assert calibrate([0.1] * 49, 0.02) < float("inf")


def test_a_prior_stands_in_and_the_log_can_only_be_stricter():
    prior = Tail(1000, tuple(float(score) for score in range(1000, 900, -1)))
    assert 970 < calibrate([], 0.02, prior) < 1000
    easy, hard = np.arange(100_000) / 1000, np.arange(100_000) / 10
    assert calibrate(easy, 0.02, prior) == pytest.approx(prior.reached_by(0.02))
    assert calibrate(hard, 0.02, prior) > 9000


def test_a_prior_whose_probes_met_no_candidate_asks_for_nothing():
    assert Tail(1000, ()).reached_by(0.02) == -np.inf
    assert calibrate(np.arange(1000.0), 0.02, Tail(1000, ())) < 1000


def test_a_negative_that_cannot_be_scored_is_the_worst():
    assert calibrate([float("nan")] * 100, 0.02) == float("inf")


@given(st.lists(st.floats(-50, 50), max_size=300), st.sampled_from([0.001, 0.02, 0.1, 0.5]))
def test_the_share_that_passes_never_exceeds_the_budget(negatives, rate):
    threshold = calibrate(negatives, rate)
    assert sum(score >= threshold for score in negatives) <= rate * (len(negatives) + 1)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_a_budget_is_a_share(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        LocalityBudget(near=rate)


def test_a_tail_is_in_falling_order():
    with pytest.raises(ValueError, match="falling"):
        Tail(2, (1.0, 2.0))
