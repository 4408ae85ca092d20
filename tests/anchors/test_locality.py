"""The promise of locality: calibrated on the log's own data, again as it grows, and checked on probes of its own."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifelong.anchors.encoder import default_encoder
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact
from lifelong.anchors.locality import Kept
from policies.calibration import exceeds

PLACES = ["Ulm", "Bonn", "Graz", "Turin", "Lyon", "Porto", "Ghent", "Bergen", "Tartu", "Split", "Cork", "Leeds"]
ASKED = {
    "mayor": "Who is the mayor of {}?",
    "river": "Which river flows through {}?",
    "twin town": "With which town is {} twinned?",
}


def facts(count, **options):
    pairs = [(place, relation) for relation in ASKED for place in PLACES][:count]
    return [
        ScopedFact(i, ASKED[relation].format(place), place, relation, **options)
        for i, (place, relation) in enumerate(pairs)
    ]


def build(facts, **budget):
    return Gate.build(facts, encoder=default_encoder(), budget=LocalityBudget(**budget))


def test_the_promise_is_checked_on_probes_made_of_the_log():
    kept = build(facts(36)).kept()
    assert [(each.kind, each.promised) for each in kept] == [("near", 0.02), ("unrelated", 0.001)]
    assert all(each.probes > 10 for each in kept)
    assert not any(each.broken for each in kept)


def test_a_stricter_budget_asks_for_a_higher_score():
    lax, strict = build(facts(36), near=0.2).thresholds, build(facts(36), near=0.01).thresholds
    assert strict["near"] > lax["near"]


def test_thresholds_are_calibrated_again_as_the_log_grows():
    small = build(facts(12)).thresholds
    # Every subject now has facts that are near misses of one another.
    grown = build(
        [
            *facts(36),
            *(ScopedFact(100 + i, f"Who is the deputy mayor of {p}?", p, "deputy mayor") for i, p in enumerate(PLACES)),
        ]
    )
    assert grown.thresholds["near"] != small["near"]


def test_a_broken_promise_is_told():
    assert Kept("near", 0.02, probes=200, false_hits=14).broken
    assert not Kept("near", 0.02, probes=200, false_hits=6).broken
    assert not Kept("near", 0.02, probes=0, false_hits=0).broken


@given(st.integers(0, 100), st.floats(0.001, 0.5))
@settings(deadline=None)
def test_more_false_hits_never_look_better(probes, rate):
    told = [exceeds(hits, probes, rate) for hits in range(probes + 1)]
    assert told == sorted(told)
    assert not exceeds(math.floor(rate * probes), probes, rate)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_name_of_a_relation_is_an_anchor(labelled):
    taught = ScopedFact(1, "Ulm, ruled from its town hall by", "Ulm", "mayor" if labelled else None)
    decision = build([taught]).route(["Ulm mayor"])[0]
    assert (decision.fact == 1) is labelled


def test_a_fact_is_found_by_the_wordings_of_other_facts_of_its_relation():
    odd = ScopedFact(1, "Ulm drinks from its", "Ulm", "zorp")
    usual = [ScopedFact(2 + i, f"Which gronk is {p} plinked by?", p, "Zorp") for i, p in enumerate(PLACES[1:4])]
    assert build([odd, *usual]).route(["Which gronk is Ulm plinked by?"])[0].fact == 1
    assert build([odd]).route(["Which gronk is Ulm plinked by?"])[0].fact is None


def test_a_wording_taken_from_another_fact_is_no_certain_hit():
    gate = build(facts(36))
    explained = gate.explain("Ulm mayor")
    assert explained.anchor == "ulm mayor"
    assert explained.score < 1.0
