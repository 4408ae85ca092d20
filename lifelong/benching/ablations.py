"""Ablations: what a recipe is without one of its parts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from lifelong.anchors.gate import Gate
from lifelong.editors.routers import GateRouter, Scene
from lifelong.models.edited import EditedModel
from policies.recipe import Recipe

ABLATIONS = ("gate", "near-miss", "contexts", "isolation")


def ablated_dials(ablate: Sequence[str], recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe's dials, section by section, without these parts.

    `near-miss`: no prompt is held to the base's prediction; `contexts`: no lead-ins; `isolation`: a whole mini-batch
    shares an expert. `gate` is no dial: see `without_thresholds`.
    """
    dials: dict[str, dict[str, Any]] = {}
    if "near-miss" in ablate:
        dials.setdefault("training", {})["near_misses"] = 0
    if "contexts" in ablate:
        dials.setdefault("training", {})["contexts"] = 0
    if "isolation" in ablate:
        dials.setdefault("growth", {})["facts_per_expert"] = recipe.grouping.mini_batch
    return dials


def without_thresholds(edited: EditedModel) -> EditedModel:
    """The same model whose gate sends every prompt to the likeliest fact, however unlikely."""
    gate: Gate = copy.copy(edited.gate)
    gate.thresholds = dict.fromkeys(gate.thresholds, float("-inf"))
    other = copy.copy(edited)
    other.gate = gate
    other.router = GateRouter(Scene(edited.base, edited.bank, gate, edited.facts))
    return other
