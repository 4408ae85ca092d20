"""The base without any edit: what there was to correct, and what was right already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifelong.editors.routers import Routed
from lifelong.evaluation.arms import Setting, decided, routed_by
from lifelong.evaluation.edited import Edited
from lifelong.experts.bank import MISS, Route

NAME = "untouched base"


class _Nowhere:
    scoped = True

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        return [decided(None) for _ in prompts]

    def route_to(self, seq: int) -> Route:
        return MISS


def build(setting: Setting) -> Edited:
    """The model with every prompt missed, its facts' own ones too."""
    return routed_by(setting.edited, _Nowhere())
