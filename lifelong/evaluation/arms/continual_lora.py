"""One continual LoRA, always on: the recipe `lora`, trained on the same stream in the same order."""

from __future__ import annotations

import copy
from dataclasses import replace

from editlog.fact import Fact
from lifelong.config import read_recipe
from lifelong.editors import Edit, Wave, as_groups, editor_of
from lifelong.editors.routers import AlwaysOn, Scene
from lifelong.evaluation.arms import Setting
from lifelong.evaluation.edited import Edited
from lifelong.experts.bank import Bank
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.jobs.training import lesson_of
from lifelong.snapshots.serving import Served

NAME = "continual LoRA"


def build(setting: Setting) -> Edited:
    """The base with the adapter as it is at the end of the stream."""
    recipe = read_recipe("lora")
    edited, editor, edit = setting.edited, editor_of(recipe), Edit(())
    for start in range(0, len(setting.facts), recipe.grouping.wave):
        latest: dict[str, Fact] = {fact.key: fact for fact in setting.facts[start : start + recipe.grouping.wave]}
        wave = Wave(as_groups([lesson_of(fact) for fact in latest.values()]))
        edit = editor.fit(edited.base, wave, seed=setting.seed, state=edit.state)
    bank = Bank(edited.base, [decode_pack(*encode_pack(edit.experts))] if edit.experts else [])
    expert = edit.experts[-1].hash if edit.experts else None
    other = copy.copy(edited)
    other.bank = bank
    other.facts = {seq: _on(served, expert) for seq, served in edited.facts.items()}
    other.router = AlwaysOn(Scene(edited.base, bank, edited.gate, other.facts))
    return other


def _on(served: Served, expert: str | None) -> Served:
    return replace(served, expert=expert) if served.expert else served
