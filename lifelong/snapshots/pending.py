"""Pending facts in context: a fact takes effect as soon as it is ingested, as a note, until a job puts it in weights.

By the dial `[routing] pending = "note"`. What waits for a job is laid over the served model in memory: a gate over
served and pending facts, calibrated to the same budget, decides first; where it finds a pending fact, its note is read
before the prompt, and everything else goes the way it went. Nothing is written, so log, snapshot and audit are as ever.
What a job may not take yet (not approved, not signed, of a paused source) is not pending here either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from editlog.fact import Fact
from editlog.history import LoggedFact
from lifelong.anchors.gate import Gate
from lifelong.editors.notes import note_text
from lifelong.editors.routers import Routed, Router
from lifelong.experts.bank import Route
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.publishing import build_gate
from lifelong.snapshots.serving import served_facts
from policies.recipe import Recipe

UNTRAINED = "note"
"""What stands for the expert of a fact that has none yet."""


class _PendingRouter:
    """A gate over all facts in front of the model's own router: pending facts are notes, the rest is its business."""

    scoped = True

    def __init__(self, base: Base, gate: Gate, notes: Mapping[int, str], inner: Router) -> None:
        self._base = base
        self._gate = gate
        self._notes = notes
        self._inner = inner

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """The note of a pending fact where the gate says so, else what the inner router says."""
        decisions = self._gate.route(prompts, at=at)
        found = self._inner.route(prompts, at=at)
        return [
            Routed(one, self.route_to(one.fact)) if one.fact is not None and self._reads(one.fact, prompt) else inner
            for prompt, one, inner in zip(prompts, decisions, found, strict=True)
        ]

    def _reads(self, seq: int, prompt: str) -> bool:
        return seq in self._notes and self._base.fits(self._notes[seq] + prompt)

    def route_to(self, seq: int) -> Route:
        """A pending fact's note, or the inner router's way to any other."""
        note = self._notes.get(seq)
        return self._inner.route_to(seq) if note is None else Route(seq, note=note)


def with_pending(
    model: EditedModel, logged: Sequence[LoggedFact], waiting: Mapping[int, Fact], recipe: Recipe
) -> EditedModel:
    """The model with the facts of `logged` that wait (by number) read as notes; the model itself where none does."""
    after = [replace(fact, expert=UNTRAINED) if fact.seq in waiting else fact for fact in logged]
    served = served_facts(after)
    pending = [one for one in served if one.expert == UNTRAINED]
    if not pending:
        return model
    notes = {one.seq: note_text(one.fact.prompt, one.fact.target) for one in pending}
    told = [replace(one, expert=None) for one in pending]
    return model.through(_PendingRouter(model.base, build_gate(served, recipe), notes, model.router), told)
