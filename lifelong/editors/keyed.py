"""Keyed experts: the fit of another editor, with a vector of each fact put into its expert's anchors.

What a router compares prompts with travels in the expert, so whatever follows from the keys of the facts that are
served is made again by each reader, and a retracted fact leaves nothing of it behind.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lifelong.editors import Edit, Wave


def keyed(edit: Edit, wave: Wave, keys: Tensor) -> Edit:
    """The same edit with `keys`, float32 [lessons of the wave, width], as the anchors of the experts."""
    of = {lesson.digest: key for lesson, key in zip(wave.lessons, keys, strict=True)}
    experts = [replace(one, anchors=torch.stack([of[fact] for fact in one.facts])) for one in edit.experts]
    renamed = {old.hash: new.hash for old, new in zip(edit.experts, experts, strict=True)}
    outcomes = {digest: replace(end, expert=renamed[end.expert]) for digest, end in edit.outcomes.items()}
    return replace(edit, experts=tuple(experts), outcomes=outcomes)
