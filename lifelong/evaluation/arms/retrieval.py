"""Retrieval in context: where the recipe's own gate finds a fact, the base reads it instead of using an expert.

The gate is the same, so the difference is that between reading a fact and having it in weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifelong.editors.notes import note_text
from lifelong.editors.routers import Routed
from lifelong.evaluation.arms import Setting, routed_by
from lifelong.evaluation.edited import Edited
from lifelong.experts.bank import MISS, Route
from lifelong.models.edited import EditedModel

NAME = "retrieval in context"


class _Reading:
    scoped = True

    def __init__(self, edited: EditedModel) -> None:
        self._edited = edited

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        found = [routed.decision for routed in self._edited.router.route(prompts, at=at)]
        return [Routed(one, MISS if one.fact is None else self.route_to(one.fact)) for one in found]

    def route_to(self, seq: int) -> Route:
        fact = self._edited.facts[seq].fact
        return Route(seq, note=note_text(fact.prompt, fact.target))


def build(setting: Setting) -> Edited:
    """The base with the retrieved fact in front of the prompt, and no expert at all."""
    return routed_by(setting.edited, _Reading(setting.edited))
