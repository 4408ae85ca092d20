"""Notes: experts that are read before the prompt, and whether one bears upon a prompt.

A note says a fact in a sentence. It is text that the base reads; what is answered, the base says itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import torch
from torch import Tensor

from lifelong.anchors.gate import Decision
from lifelong.editors.routers import Routed, Scene
from lifelong.experts.bank import MISS, Route
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import NOTE_SITE, Note
from lifelong.models.base import Base

FORM = "Fact: {}\n"
"""How a note is written where a recipe does not say so itself; `{}` is the sentence."""


def note_text(prompt: str, target: str, form: str = FORM) -> str:
    """The note that says `target` of `prompt`."""
    return form.replace("{}", f"{prompt} {target}.")


def note_expert(digest: str, text: str, *, recipe: str, base: str) -> Expert:
    """The expert of the fact `digest` that has `text` read before the prompt; `recipe` and `base` are fingerprints."""
    return Expert((digest,), {NOTE_SITE: Note.of(text)}, recipe, base, kind="note")


@torch.no_grad()
def relevance(base: Base, note: str, prompt: str) -> float:
    """How far the note moves the base's next word: KL(behind the note || without it) at the end of the prompt, in nats.

    The prompt and the note alone are read, never a target. One row is read at a time, so that the same prompt is
    judged alike in any batch.
    """
    behind, alone = (_next_word(base, text) for text in (note + prompt, prompt))
    return float((behind.exp() * (behind - alone)).sum())


def _next_word(base: Base, text: str) -> Tensor:
    """Log-probabilities (nats) of the token after a text, float64 [vocabulary]."""
    logits = base.forward(base.pad_left([base.prompt_ids(text)]), keep=1)[0, -1]
    return logits.double().log_softmax(-1)


class ReadingRouter:
    """The gate finds notes for a prompt, the base judges each, and those that it finds relevant are read.

    At most `most` notes, of different keys, each within the gate's threshold; one is relevant where `relevance` is
    above `least`; at 0 the gate's word is enough. Where none is, the prompt is a miss. Experts that are always on act
    beside the notes.
    """

    scoped = True

    def __init__(self, scene: Scene, *, most: int, least: float) -> None:
        self._scene = scene
        self._most = most
        self._least = least

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """Two readings a prompt that the gate lets in: is a note relevant, and then, with it, the prompt."""
        decisions = self._scene.gate.route(prompts, at=at)
        return [self._read(prompt, one, at) for prompt, one in zip(prompts, decisions, strict=True)]

    def route_to(self, seq: int) -> Route:
        """The fact's own note, whether it is relevant or not."""
        return self._reading([seq])

    def _read(self, prompt: str, decision: Decision, at: datetime | None) -> Routed:
        if decision.fact is None:
            return Routed(decision, MISS)
        found = [decision.fact, *self._others(prompt, decision.fact, at)]
        base = self._scene.base
        notes = {seq: self._scene.route_to(seq).note for seq in found}
        if base.fits("".join((*notes.values(), prompt))):
            found = [seq for seq in found if not self._least or relevance(base, notes[seq], prompt) > self._least]
        else:  # what cannot be read is not relevant
            found = []
        if not found:
            return Routed(replace(decision, fact=None), MISS)
        return Routed(replace(decision, fact=found[0]), self._reading(found))

    def _others(self, prompt: str, first: int, at: datetime | None) -> list[int]:
        """What else the gate would let in, the best first, without what a fact of the same key says already."""
        if self._most == 1:
            return []
        facts, keys = self._scene.facts, {self._scene.facts[first].fact.key}
        others = []
        for one in self._scene.gate.explain(prompt, at=at, k=4 * self._most).candidates:
            if one.negative or one.score < one.threshold or facts[one.fact].fact.key in keys:
                continue
            keys.add(facts[one.fact].fact.key)
            others.append(one.fact)
        return others[: self._most - 1]

    def _reading(self, seqs: Sequence[int]) -> Route:
        """The notes of facts in one route, the best one last, next to the prompt."""
        routes = [self._scene.route_to(seq) for seq in reversed(seqs)]
        slots = tuple(slot for route in routes for slot in route.slots) + self._scene.bank.always
        return Route(seqs[0], slots, (1.0,) * len(slots), "".join(route.note for route in routes))
