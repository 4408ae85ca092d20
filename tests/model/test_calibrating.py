"""Thresholds that stay: what a gate goes on with, what the log keeps of it, and when they give way."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from editlog.events import Event, body_of
from lifelong.anchors.encoder import default_encoder
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact
from lifelong.snapshots.calibrating import calibrated_gate, calibration_entry, last_calibration
from policies.recalibration import Calibrated
from policies.recipe import Recipe

PLACES = ("Ulm", "Bonn", "Graz", "Turin", "Lyon", "Porto", "Ghent", "Bergen", "Tartu", "Split", "Cork", "Leeds")
ENCODER, BUDGET = default_encoder(), LocalityBudget()


def facts(count: int) -> list[ScopedFact]:
    asked = [("mayor", "Who is the mayor of {}?"), ("river", "Which river flows through {}?")]
    pairs = [(place, relation, words) for relation, words in asked for place in PLACES][:count]
    return [ScopedFact(i, words.format(place), place, relation) for i, (place, relation, words) in enumerate(pairs)]


def gate(count: int, last: Calibrated | None, **routing: Any) -> Gate:
    return calibrated_gate(facts(count), ENCODER, BUDGET, Recipe.model_validate({"routing": routing}), last)


def kept(near: float, unrelated: float, of: int) -> Calibrated:
    return Calibrated({"near": near, "unrelated": unrelated}, of, ENCODER.fingerprint, BUDGET)


def read_back(made: Gate, last: Calibrated | None, **routing: Any) -> Calibrated | None:
    """What the log says of a gate's calibration after it was told."""
    recipe = Recipe.model_validate({"routing": routing})
    entries = calibration_entry(made, last, recipe)
    bodies = [json.loads(body_of(entry)) for entry in entries]
    now = datetime.now(UTC)
    return last_calibration([Event(1, now, "gate.calibrated", "ada", None, None, body, "") for body in bodies])


def test_thresholds_stay_until_the_facts_have_grown() -> None:
    last = kept(9.0, 9.5, of=20)
    assert gate(22, last, recalibrate="grown").thresholds == last.thresholds
    assert gate(23, last, recalibrate="grown").thresholds == gate(23, None).thresholds != last.thresholds
    assert gate(22, last).thresholds == gate(22, None).thresholds, "by default every publication calibrates"


def test_thresholds_give_way_once_the_log_shows_that_they_let_too_much_through() -> None:
    lax, strict = kept(-50.0, -50.0, of=24), kept(50.0, 50.0, of=1)
    assert gate(24, lax, recalibrate="broken").thresholds == gate(24, None).thresholds
    assert gate(24, strict, recalibrate="broken").thresholds == strict.thresholds
    observed = Gate.build(facts(24), encoder=ENCODER, budget=BUDGET, thresholds=lax.thresholds).observed()
    assert any(one.broken for one in observed)


def test_what_the_log_keeps_is_what_the_gate_had() -> None:
    made = gate(24, None)
    found = read_back(made, None, recalibrate="grown")
    assert found == Calibrated(made.thresholds, 24, ENCODER.fingerprint, BUDGET)
    assert read_back(made, found, recalibrate="grown") is None, "the same again is not told again"
    assert read_back(made, None) is None, "who calibrates always needs no record"
    never = Gate.build(facts(3), encoder=ENCODER, budget=BUDGET, thresholds={"near": math.inf, "unrelated": 1.0})
    found = read_back(never, None, recalibrate="grown")
    assert found is not None
    assert found.thresholds == never.thresholds
