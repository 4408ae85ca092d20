"""Keyed experts: as the default recipe trains them, with a vector of each fact in its expert's anchors.

What a router compares prompts with travels in the expert, so whatever follows from the keys of the facts that are
served is made again by each reader, and a retracted fact leaves nothing of it behind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lifelong.editors import Edit, Wave
from lifelong.editors.lora import LoraEditor
from lifelong.editors.state import State
from lifelong.models.base import Base


class KeyedEditor(LoraEditor):
    """Experts as the default recipe trains them, and the keys by which a router finds them."""

    def fit(
        self,
        base: Base,
        wave: Wave,
        *,
        seed: int,
        state: State | None = None,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Edit:
        """Train an expert for each group and read its facts' keys; see `Editor.fit`."""
        edit = super().fit(base, wave, seed=seed, state=state, steps=steps, advance=advance)
        return keyed(edit, wave, self.keys(base, wave))

    @abstractmethod
    def keys(self, base: Base, wave: Wave) -> Tensor:
        """What a router is to find each lesson of the wave by, float32 [lessons, width]."""


def keyed(edit: Edit, wave: Wave, keys: Tensor) -> Edit:
    """The same edit with `keys`, float32 [lessons of the wave, width], as the anchors of the experts."""
    of = {lesson.digest: key for lesson, key in zip(wave.lessons, keys, strict=True)}
    experts = [replace(one, anchors=torch.stack([of[fact] for fact in one.facts])) for one in edit.experts]
    renamed = {old.hash: new.hash for old, new in zip(edit.experts, experts, strict=True)}
    outcomes = {digest: replace(end, expert=renamed[end.expert]) for digest, end in edit.outcomes.items()}
    return replace(edit, experts=tuple(experts), outcomes=outcomes)
