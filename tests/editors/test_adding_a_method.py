"""docs/ADDING_A_METHOD.md is run as it stands: its module becomes an editor, its recipe finds it, its experts act."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import lifelong.editors
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from policies.recipe import parse_recipe

PAGE = Path(__file__).parents[2] / "docs" / "ADDING_A_METHOD.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return found


def test_the_page_adds_a_method(
    base: Base, lessons: list[Lesson], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stamp.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.setattr(lifelong.editors, "__path__", [*lifelong.editors.__path__, str(tmp_path)])
    editor = editor_of(parse_recipe(block("toml")))
    edit = editor.fit(base, Wave(as_groups(lessons[:2])), seed=0)

    batch = base.pad_left([base.prompt_ids(lesson.prompt) for lesson in lessons[:2]])
    with torch.no_grad():
        before = base.forward(batch)
        with Bank(base, [decode_pack(*encode_pack(edit.experts))]).serving([Route(1, (0,), (1.0,)), MISS]):
            after = base.forward(batch)
    wanted = base.answer_ids(lessons[0].prompt, lessons[0].target)[0]
    assert after[0, -1, wanted] > before[0, -1, wanted]
    assert torch.equal(after[1], before[1])
