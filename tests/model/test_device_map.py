"""A base spread by an accelerate device map is the same base: fingerprint, answers, training, serving.

What computes on one device and keeps weights on disk can be shown on any machine; two devices that compute cannot, so
that experts go beside their sites is shown with the hooks that accelerate leaves on a module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lifelong
from editlog.errors import UsageError
from lifelong.experts.bank import Bank
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from lifelong.workspace import Workspace

pytest.importorskip("accelerate")

SPREAD = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu",
          "model.layers.0": "cpu", "model.layers.1": "disk"}  # fmt: skip


@pytest.fixture
def device_map(tmp_path: Path) -> Callable[..., str]:
    """Write a device map; returns its path."""

    def write(**changes: Any) -> str:
        path = tmp_path / "map.json"
        path.write_text(json.dumps(SPREAD | {name.replace("__", "."): where for name, where in changes.items()}))
        return str(path)

    return write


def test_a_base_with_layers_on_disk_is_the_same_base(
    tiny_model: Path, base: Base, device_map: Callable[..., str], facts: tuple[dict[str, Any], ...]
) -> None:
    spread = Base.load(str(tiny_model), device=device_map())
    assert spread.devices == ["cpu", "disk"]
    assert spread.model.model.layers[1].mlp.up_proj.weight.is_meta
    assert spread.fingerprint == base.fingerprint
    prompts = [fact["prompt"] for fact in facts]
    assert spread.generate(prompts, max_new_tokens=8) == base.generate(prompts, max_new_tokens=8)
    assert torch.equal(spread.weight("model.layers.1.mlp.up_proj"), base.weight("model.layers.1.mlp.up_proj"))


def test_facts_are_trained_and_served_behind_layers_on_disk(
    tiny_model: Path, device_map: Callable[..., str], tmp_path: Path, facts: tuple[dict[str, Any], ...]
) -> None:
    """The embedding on disk, too; the expert stands in a layer whose weights are only there for a pass."""
    where = device_map(model__embed_tokens="disk")
    made = lifelong.init(tmp_path / "home", model=str(tiny_model), device=where, preset="last-up", actor="ada")
    with made.layout.config.open("a", encoding="utf-8") as config:
        config.write("[overrides.training]\nvalue_rate = 0.1\nkey_rate = 3.0\n")
    workspace: Workspace = lifelong.open(made.home)
    assert workspace.config.device == where
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts[:4]))
    workspace.ingest(tmp_path / "facts.jsonl")
    assert workspace.run().status == "published"
    answers = workspace.ask([fact["prompt"] for fact in facts[:4]])
    assert [answer.text for answer in answers] == [fact["target"] for fact in facts[:4]]
    with pytest.raises(UsageError, match=r"spread over cpu, disk.*export peft"):
        workspace.export_merged(tmp_path / "merged")


def test_an_expert_stands_where_its_site_computes(tiny_model: Path, edit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device map that names a layer puts what stands beside the layer's modules there, and nothing else."""
    spread = Base.load(str(tiny_model))
    upper = spread.model.get_submodule("model.layers.1")
    monkeypatch.setattr(upper, "_hf_hook", SimpleNamespace(execution_device="meta", offload=False), raising=False)
    assert spread.device_of("model.layers.1.mlp.up_proj") == torch.device("meta")
    assert spread.device_of("model.layers.0.mlp.up_proj") == spread.device == torch.device("cpu")
    bank = Bank(spread, [decode_pack(*encode_pack(edit.experts))])
    parts = [part for kinds in bank._stacks.values() for stack in kinds.values() for part in stack.parts.values()]
    assert {part.device for part in parts} == {torch.device("meta")}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"lm_head": 1.5}', "must be an object"),
        ('{"model.(layers|norm)+": "cpu"}', "must be an object"),  # transformers would take it for a pattern
    ],
)
def test_a_map_that_says_nothing_useful_is_refused(tmp_path: Path, tiny_model: Path, content: str, reason: str) -> None:
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(UsageError, match=reason):
        Base.load(str(tiny_model), device=str(tmp_path / "map.json"))
    with pytest.raises(UsageError, match="cannot be read"):
        Base.load(str(tiny_model), device=str(tmp_path / "nowhere.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_map_onto_a_device_that_is_not_there_says_so(tiny_model: Path, device_map: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="there is no CUDA device here"):
        Base.load(str(tiny_model), device=device_map(lm_head=0))
