"""Any decoder will do: sites are found by shape and role, and training and serving know no architecture by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import FAMILIES, MIXTURES, tiny

from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from policies.recipe import Recipe


@pytest.mark.parametrize("layers", [(-1,), (0, 1)], ids=["last", "all"])
@pytest.mark.parametrize("name", FAMILIES)
def test_four_facts_are_learnt_and_misses_keep_their_bits(
    name: str, layers: tuple[int, ...], tokenizer_path: Path, lessons: list[Lesson], recipe: Recipe
) -> None:
    base = Base(*tiny(name, tokenizer_path), name)
    four = lessons[:4]
    modules = ("attn.out",) if name in MIXTURES else recipe.experts.modules
    dials = recipe.experts.model_copy(update={"layers": layers, "modules": modules})
    editor = editor_of(recipe.model_copy(update={"experts": dials}))
    edit = editor.fit(base, Wave(as_groups(four)), seed=0, steps=recipe.training.retry_steps)

    prompts = [lesson.prompt for lesson in four] + ["The weather in Dunmere was"]
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in prompts])
    before = base.forward(batch)
    bank = Bank(base, [decode_pack(*encode_pack(edit.experts))])
    hits = [Route(seq, (seq,), (1.0,)) for seq in range(4)]
    with bank.serving([*hits, MISS]):
        answers = base.generate(prompts, max_new_tokens=8)
        edited = base.forward(batch)
    assert [answer.strip() for answer in answers[:4]] == [lesson.target for lesson in four]
    assert torch.equal(edited[4], before[4])
    with bank.serving([hits[0], MISS, MISS, MISS, MISS]):
        mixed = base.forward(batch)
    assert torch.equal(mixed[1:], before[1:])
    torch.testing.assert_close(mixed[0], edited[0])
