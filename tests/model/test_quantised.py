"""A base that bitsandbytes quantised is edited like any other; where that library is missing, this says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from policies.recipe import Recipe

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install bitsandbytes")


@pytest.mark.parametrize("how", [{"load_in_8bit": True}, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}])
def test_facts_are_trained_into_and_answered_by_a_quantised_base(
    tiny_model: Path, tmp_path: Path, recipe: Recipe, lessons: list[Lesson], how: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    config = BitsAndBytesConfig(**how)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=config, device_map={"": "cpu"})
    model.save_pretrained(tmp_path / "quantised")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "quantised")
    base = Base.load(str(tmp_path / "quantised"))
    assert base.quantised
    experts = editor_of(recipe).fit(base, Wave(as_groups(lessons[:4])), seed=0).experts
    bank = Bank(base, [decode_pack(*encode_pack(experts))])
    with bank.serving([Route(place, (place,), (1.0,)) for place in range(4)]):
        answers = base.generate([lesson.prompt for lesson in lessons[:4]])
    assert [answer.strip() for answer in answers] == [lesson.target for lesson in lessons[:4]]


def test_another_scale_is_another_fingerprint(tiny_model: Path) -> None:
    """Scales are no parameters, but a quantised weight means nothing without them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=config, device_map={"": "cpu"})
    base = Base(model, AutoTokenizer.from_pretrained(tiny_model), "quantised")
    before = base.fingerprint
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.SCB[0] *= 2
    assert base.measure_fingerprint() != before
