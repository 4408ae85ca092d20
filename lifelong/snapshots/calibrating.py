"""Calibrations in the log: the thresholds that a gate goes on with, where the recipe does not make them anew each time.

They are an event, so that what is served stays a function of the log and `rebuild` makes the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from editlog.events import Entry, Event
from lifelong.anchors.encoder import Encoder
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact
from policies.recalibration import Calibrated, may_stay, recalibration_due
from policies.recipe import Recipe


def last_calibration(events: Sequence[Event]) -> Calibrated | None:
    """The latest calibration among events in log order; None where there is none."""
    body = next((event.body for event in reversed(events) if event.kind == "gate.calibrated"), None)
    if body is None:
        return None
    thresholds = {kind: math.inf if limit is None else limit for kind, limit in body["thresholds"].items()}
    return Calibrated(thresholds, body["facts"], body["encoder"], LocalityBudget(**body["budget"]))


def calibration_entry(gate: Gate, last: Calibrated | None, recipe: Recipe) -> list[Entry]:
    """The event by which a gate's thresholds can stay, where the recipe's policy lets them and they are new."""
    if recipe.routing.recalibrate == "always" or (last and dict(last.thresholds) == gate.thresholds):
        return []
    # JSON has no infinity: null is a threshold that nothing but an exact wording passes
    limits = {kind: limit if math.isfinite(limit) else None for kind, limit in gate.thresholds.items()}
    body = {"thresholds": limits, "facts": gate.facts, "encoder": gate.encoder.fingerprint}
    return [Entry("gate.calibrated", {**body, "budget": asdict(gate.budget)})]


def calibrated_gate(
    facts: Sequence[ScopedFact], encoder: Encoder, budget: LocalityBudget, recipe: Recipe, last: Calibrated | None
) -> Gate:
    """The gate over these facts, with thresholds of its own or those of the `last` calibration, as the policy says."""
    routing = recipe.routing
    if last is None or routing.recalibrate == "always" or not may_stay(last, encoder.fingerprint, budget):
        return Gate.build(facts, encoder=encoder, budget=budget)
    gate = Gate.build(facts, encoder=encoder, budget=budget, thresholds=last.thresholds)

    def broken() -> bool:
        return any(observed.broken for observed in gate.observed())

    if recalibration_due(routing.recalibrate, routing.recalibrate_growth, last, gate.facts, broken):
        gate.calibrate()
    return gate
