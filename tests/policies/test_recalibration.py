"""When the gate is calibrated anew: by every publication, by growth, or once its promise is seen to be broken."""

import pytest

from policies.calibration import LocalityBudget
from policies.recalibration import Calibrated, may_stay, recalibration_due

LAST = Calibrated({"near": 1.0, "unrelated": 2.0}, facts=100, encoder="e", budget=LocalityBudget())


def unasked():
    pytest.fail("what is observed costs as much as a calibration, and is not asked for here")


def test_always_is_always():
    assert recalibration_due("always", 10.0, LAST, 100, unasked)


@pytest.mark.parametrize(("facts", "due"), [(100, False), (110, False), (111, True), (90, False), (89, True)])
def test_a_log_that_has_grown_or_shrunk_by_more_than_its_share_is_due(facts, due):
    assert recalibration_due("grown", 0.1, LAST, facts, unasked) == due


def test_a_calibration_on_nothing_is_due_with_the_first_fact():
    assert recalibration_due("grown", 0.1, Calibrated({}, 0, "e", LocalityBudget()), 1, unasked)


def test_a_promise_is_due_once_it_is_broken_whatever_the_growth():
    assert recalibration_due("broken", 0.0, LAST, 10_000, lambda: True)
    assert not recalibration_due("broken", 0.0, LAST, 10_000, lambda: False)


def test_no_policy_keeps_thresholds_of_another_encoder_or_promise():
    assert may_stay(LAST, "e", LocalityBudget())
    assert not may_stay(LAST, "another", LocalityBudget())
    assert not may_stay(LAST, "e", LocalityBudget(near=0.01))
    assert not may_stay(None, "e", LocalityBudget())
