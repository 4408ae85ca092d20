"""Any machine: devices, dtypes and quantised weights work, or one sentence says why not and what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from editlog.errors import UsageError
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models import loading
from lifelong.models.base import Base
from policies.recipe import Recipe


def test_bfloat16_is_loaded_and_answers(tiny_model: Path, base: Base) -> None:
    half = Base.load(str(tiny_model), dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert half.fingerprint != base.fingerprint
    assert len(half.generate(["The capital of"], max_new_tokens=2)) == 1


def test_facts_are_trained_into_and_answered_by_a_base_in_bfloat16(
    tiny_model: Path, recipe: Recipe, lessons: list[Lesson]
) -> None:
    """Experts are trained in float32 whatever the base is held in; eight facts, as any family's in test_any_decoder."""
    half = Base.load(str(tiny_model), dtype="bfloat16")
    experts = editor_of(recipe).fit(half, Wave(as_groups(lessons[:8])), seed=0).experts
    bank = Bank(half, [decode_pack(*encode_pack(experts))])
    with bank.serving([Route(place, (place,), (1.0,)) for place in range(8)]):
        answers = half.generate([lesson.prompt for lesson in lessons[:8]])
    right = [answer.strip() == lesson.target for answer, lesson in zip(answers, lessons[:8], strict=True)]
    assert sum(right) / 8 >= 0.85


def test_accelerate_places_the_model_where_it_fits(tiny_model: Path, base: Base) -> None:
    placed = Base.load(str(tiny_model), device="auto")
    assert placed.fingerprint == base.fingerprint
    assert placed.generate(["The capital of"], max_new_tokens=4) == base.generate(["The capital of"], max_new_tokens=4)


def test_accelerate_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install accelerate"):
        loading.check_device("auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_says_what_to_do(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="there is no CUDA device here"):
        Base.load(str(tiny_model), device="cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an mps device")
def test_apple_silicon_is_named_where_it_is_missing(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="it needs macOS on Apple silicon"):
        Base.load(str(tiny_model), device="mps")


def test_quantised_weights_work_or_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def config(method: str) -> Any:
        return SimpleNamespace(model_type="llama", quantization_config={"quant_method": method})

    for refused in ("gptq", "awq", "fp8"):
        with pytest.raises(UsageError, match=f"quantised by {refused}.*use the unquantised model"):
            loading.check_config(config(refused))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install bitsandbytes"):
        loading.check_config(config("bitsandbytes"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert loading.check_config(config("bitsandbytes"))
    assert not loading.check_config(SimpleNamespace(model_type="llama"))


def test_what_is_no_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match="reads with an encoder"):
        loading.check_config(SimpleNamespace(model_type="t5", is_encoder_decoder=True))


def test_a_model_without_position_ids_or_cut_logits_answers_alike(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = base.pad_left([base.prompt_ids("The capital of Osterland is")])
    expected = base.forward(batch, keep=2)
    monkeypatch.setattr(base, "_cuts_logits", False)
    monkeypatch.setattr(base, "_counts_positions", False)
    torch.testing.assert_close(base.forward(batch, keep=2), expected)
