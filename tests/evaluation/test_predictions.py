"""Every figure is a mean over rows that can be named, and its interval is of the facts, not of the rows."""

from __future__ import annotations

import json

import pytest

from lifelong.evaluation.predictions import FIGURES, Prediction, figures, intervals


def generality(fact: int, exact: bool, *, sent: int | None = 0) -> Prediction:
    return Prediction("generality", fact, "p", "a", token=float(exact), exact=exact, sent=sent, own=0)


def stranger(*, sent: int | None) -> Prediction:
    return Prediction("locality", 0, "p", "a", kind="unrelated", sent=sent, agrees=sent is None, bit_identical=True)


def test_a_figure_is_the_mean_over_the_rows_that_it_is_about():
    rows = [generality(0, True), generality(1, False, sent=None), stranger(sent=None), stranger(sent=0)]
    found = figures(rows)
    assert found["generality.exact"] == found["router.recall"] == found["router.right_fact"] == 0.5
    assert found["locality.unrelated.agreement"] == found["locality.unrelated.false_hits"] == 0.5
    assert found["router.precision"] == 0.5, "of two hits one is in scope"
    assert found["reliability.exact"] is None
    assert found.keys() == FIGURES.keys()


def test_an_interval_widens_where_many_rows_hang_on_few_facts():
    of_two_facts = [generality(i % 2, i % 2 == 0) for i in range(100)]
    of_many_facts = [generality(i, i % 2 == 0) for i in range(100)]
    few, many = (intervals(rows)["generality.exact"] for rows in (of_two_facts, of_many_facts))
    assert few == (0.0, 1.0)
    assert 0.35 < many[0] < 0.5 < many[1] < 0.65


def test_an_interval_is_the_same_every_time_and_none_without_rows():
    rows = [generality(i, i % 3 == 0) for i in range(30)]
    assert intervals(rows) == intervals(rows)
    assert intervals(rows)["portability.exact"] is None
    assert intervals([generality(0, True)])["generality.exact"] == pytest.approx((1.0, 1.0))


def test_a_prediction_reads_back_from_its_line():
    row = generality(3, True)
    assert Prediction(**json.loads(json.dumps(row.to_dict()))) == row
