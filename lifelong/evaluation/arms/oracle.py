"""The oracle: the recipe's own experts behind a router that knows which fact each question was written for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from editlog.canonical import fold
from lifelong.editors.routers import Routed
from lifelong.evaluation.arms import Setting, decided, routed_by
from lifelong.evaluation.edited import Edited
from lifelong.experts.bank import Route
from lifelong.models.edited import EditedModel

NAME = "oracle"


class _Told:
    scoped = True

    def __init__(self, edited: EditedModel, owners: Mapping[str, int]) -> None:
        self._edited, self._owners = edited, owners

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        own = [self._owners.get(fold(prompt)) for prompt in prompts]
        return [decided(None) if seq is None else decided(seq, self.route_to(seq)) for seq in own]

    def route_to(self, seq: int) -> Route:
        return self._edited.router.route_to(seq)


def build(setting: Setting) -> Edited:
    """Every prompt in scope goes to its own fact, every other one to none."""
    edited, probes = setting.edited, setting.probes
    served = [edited.fact_of(fact) for fact in probes.facts]
    asked = [(item.prompt, served[item.fact]) for item in (*probes.portability, *probes.generality)]
    asked += [(fact.prompt, seq) for fact, seq in zip(probes.facts, served, strict=True)]
    owners = {fold(prompt): seq for prompt, seq in asked if seq is not None}
    return routed_by(edited, _Told(edited, owners))
