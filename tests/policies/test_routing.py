"""Evidence to a score, scores to a choice."""

from dataclasses import replace

import numpy as np
import pytest

from policies.routing import FEATURES, TWIN, Verifier, Weights, choose, kinds, latest, probability, scores

WORDING = Weights(
    bias=-2.0,
    name=0.0,
    weakest_word=0.0,
    longer_name=-3.0,
    similarity=6.0,
    overlap=2.0,
    bare_anchor=1.0,
    bare_prompt=0.0,
)
NAMES = replace(WORDING, bias=-14.0, name=8.0, weakest_word=4.0)
VERIFIER = Verifier(named=WORDING, unnamed=NAMES)


def row(**features):
    return [features.get(name, 0.0) for name in FEATURES]


def test_name_and_wording_together_outweigh_each_alone():
    both, name, wording = scores(np.array([row(name=1, similarity=0.9), row(name=1), row(similarity=0.9)]), VERIFIER)
    assert both > max(name, wording)
    assert probability(both) > 0.5 > probability(name)


def test_a_misspelt_name_outweighs_a_name_with_one_word_exchanged():
    misspelt, exchanged = (
        row(name=0.8, weakest_word=0.9, similarity=0.9),
        row(name=0.8, weakest_word=0.1, similarity=0.9),
    )
    odds = scores(np.array([misspelt, exchanged]), VERIFIER)
    assert odds[0] > odds[1]


def test_a_candidate_is_held_to_what_it_shares_with_the_prompt():
    rows = [row(name=1, similarity=0.1), row(name=0.9, similarity=0.8), row(name=0.9, similarity=0.1)]
    assert list(kinds(np.array(rows))) == ["near", "near", "unrelated"]


def test_evidence_that_is_not_a_number_never_wins():
    odds = scores(np.array([row(name=float("nan")), row()]), VERIFIER)
    assert odds[0] == -np.inf
    assert choose(odds, np.array([2, 1])) == 1


def test_a_tie_goes_to_the_later_fact():
    assert choose(np.array([1.0, 3.0, 3.0]), np.array([9, 4, 5])) == 2


def test_of_facts_that_ask_the_same_the_latest_is_meant():
    seqs, twins = np.array([5, 9, 7]), np.array([True, True, False])
    assert latest(np.array([4.0, 4.0 - TWIN / 2, 4.0]), seqs, 0, twins) == 1
    assert latest(np.array([4.0, 4.0 - 2 * TWIN, 4.0]), seqs, 0, twins) == 0
    assert latest(np.array([4.0, -np.inf, 4.0]), seqs, 0, ~twins) == 2


def test_no_candidate_is_no_choice():
    assert choose(np.array([]), np.array([], dtype=int)) is None
    assert choose(np.array([-np.inf]), np.array([1])) is None


def test_probabilities_stay_within_bounds():
    assert [probability(x) for x in (-np.inf, 0.0, np.inf)] == [0.0, 0.5, 1.0]
    assert 0.0 < probability(-1e9) < probability(1e9) < 1.0


def test_weights_are_read_whole_or_not_at_all():
    assert Verifier.read(VERIFIER.record()) == VERIFIER
    with pytest.raises(ValueError, match="finite"):
        Verifier.read(VERIFIER.record() | {"named": WORDING.record() | {"bias": float("nan")}})
    with pytest.raises(ValueError, match="finite"):
        Weights.read({"bias": 1.0})


def test_an_older_snapshot_gives_no_weight_to_what_it_did_not_know_of():
    later = ("familiar", "narrowed", "opposed")
    earlier = {name: value for name, value in WORDING.record().items() if name not in later}
    assert Weights.read(earlier) == WORDING
