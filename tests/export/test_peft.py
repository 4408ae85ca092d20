"""What is exported loads in plain PEFT and says what the bank says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from editlog.errors import UsageError
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.export.peft import write_adapter
from lifelong.models.base import Base
from lifelong.workspace import Workspace
from policies.recipe import Recipe


def peft_logits(base: Base, adapter: Path, batch: object) -> torch.Tensor:
    """Logits of a model that plain transformers loads and plain PEFT adapts; none of our code is in between."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base.name, dtype=torch.float32).eval()
    adapted = PeftModel.from_pretrained(plain, str(adapter)).eval()
    with torch.no_grad():
        return adapted(**vars(batch), position_ids=batch.position_ids).logits  # type: ignore[attr-defined]


ONE_SITE = {"layers": (-1,), "modules": ("mlp.down",), "rank_per_token": 1}
MANY_SITES = {"layers": (0, 1), "modules": ("mlp.up", "attn.out")}


@pytest.mark.parametrize("place", [ONE_SITE, MANY_SITES], ids=["one site", "many sites"])
def test_plain_peft_has_the_logits_of_the_bank(
    tmp_path: Path, base: Base, lessons: list[Lesson], recipe: Recipe, place: dict[str, object]
) -> None:
    dials = recipe.experts.model_copy(update=place)
    editor = editor_of(recipe.model_copy(update={"experts": dials}))
    (expert,) = editor.fit(base, Wave(as_groups(lessons[:1])), seed=0).experts
    write_adapter(base, expert, tmp_path / "f4")
    batch = base.pad_left([base.prompt_ids(lesson.prompt) for lesson in lessons[:4]])
    bank = Bank(base, [decode_pack(*encode_pack([expert]))])
    with torch.no_grad(), bank.serving([Route(0, (0,), (1.0,))] * 4):
        expected = base.forward(batch)
    real = batch.attention_mask.bool()
    torch.testing.assert_close(peft_logits(base, tmp_path / "f4", batch)[real], expected[real], rtol=1e-4, atol=1e-4)
    assert {path.name for path in (tmp_path / "f4").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}


def test_one_directory_for_each_expert_in_use(tmp_path: Path, published: Workspace, base: Base) -> None:
    paths = published.export_peft(tmp_path / "out")
    assert sorted(path.name for path in paths) == sorted(f"f{seq}" for seq in range(4, 16))
    config = json.loads((paths[0] / "adapter_config.json").read_text())
    assert (config["peft_type"], config["base_model_name_or_path"]) == ("LORA", base.name)
    assert [path.name for path in published.export_peft(tmp_path / "some", refs=["f5"])] == ["f5"]


def test_nothing_is_overwritten(tmp_path: Path, published: Workspace) -> None:
    published.export_peft(tmp_path / "out", refs=["f5"])
    with pytest.raises(UsageError, match="exists already"):
        published.export_peft(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f5"]


def test_what_has_no_expert_cannot_be_exported(tmp_path: Path, published: Workspace) -> None:
    published.retract(["f5"], reason="a test")
    with pytest.raises(UsageError, match="f5 has no expert"):
        published.export_peft(tmp_path / "out", refs=["f5"])
