"""Arms: other answers to the same stream, on the same base and in the same run, for a recipe to be compared with.

An arm is one module here with a `NAME` and a `build`, which makes something that can be measured from a `Setting`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from editlog.fact import Fact
from lifelong.anchors.gate import Decision
from lifelong.editors.routers import Routed, Router
from lifelong.evaluation.edited import Edited
from lifelong.evaluation.probes import ProbeSet
from lifelong.experts.bank import MISS, Route
from lifelong.models.edited import EditedModel


@dataclass(frozen=True)
class Setting:
    """What an arm is built from: the edited model, the stream as it was edited, what is asked of it, and the seed."""

    edited: EditedModel
    facts: Sequence[Fact]
    probes: ProbeSet
    seed: int


def arms() -> dict[str, Callable[[Setting], Edited]]:
    """How each arm is built, by its name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {module.NAME: module.build for module in modules}


def routed_by(edited: EditedModel, router: Router) -> EditedModel:
    """The same model with another router."""
    other = copy.copy(edited)
    other.router = router
    return other


def decided(seq: int | None, route: Route = MISS) -> Routed:
    """A plain yes or no as a router's word: a hit on fact `seq` with its route, or a miss."""
    return Routed(Decision(seq, float(seq is not None), 0.5, None, None), route)
