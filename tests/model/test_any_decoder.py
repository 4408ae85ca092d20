"""Bring your own model: ten families of decoders go through the whole workspace, by one table.

Two families run with every `make test`, all ten with `make test-slow`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from families import FAMILIES, MIXTURES, tiny

import lifelong
from lifelong.models.base import Base, Batch
from lifelong.models.edited import EditedModel
from lifelong.workspace import Workspace

QUICK = {"gemma3_text", "mixtral"}
EIGHT = slice(0, 8)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


class Edited(NamedTuple):
    """A workspace on one family's model, in which eight facts were applied."""

    name: str
    folder: Path
    workspace: Workspace

    @property
    def model(self) -> EditedModel:
        """What it serves now."""
        return self.workspace.edited_model()


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES],
)
def edited(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer_path: Path,
    facts: tuple[dict[str, Any], ...],
    make_workspace: Callable[..., Workspace],
) -> Edited:
    """The family's model saved in shards, a workspace on it, and eight facts published."""
    place = tmp_path_factory.mktemp(request.param)
    model, tokenizer = tiny(request.param, tokenizer_path)
    model.save_pretrained(place / "model", max_shard_size="100KB")
    tokenizer.save_pretrained(place / "model")
    modules = ["attn.out"] if request.param in MIXTURES else ["mlp.up"]
    dials = {"experts": {"modules": modules}, "training": {"steps": 60}}
    workspace = make_workspace(place / "home", model=place / "model", **dials)
    (place / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts[EIGHT]))
    workspace.ingest(place / "facts.jsonl")
    assert workspace.run().status == "published"
    return Edited(request.param, place / "model", workspace)


@pytest.fixture(scope="module")
def plain(edited: Edited) -> Base:
    """The same model as plain transformers loads it; no edit was ever near it."""
    return Base.load(str(edited.folder))


def batch_of(base: Base, prompts: list[str]) -> Batch:
    return base.pad_left([base.prompt_ids(prompt) for prompt in prompts])


def test_shards_are_loaded(edited: Edited) -> None:
    assert (edited.folder / "model.safetensors.index.json").exists()
    assert not list(edited.folder.glob("*.bin"))


def test_eight_facts_are_answered(edited: Edited, facts: tuple[dict[str, Any], ...]) -> None:
    answers = edited.workspace.ask([fact["prompt"] for fact in facts[EIGHT]])
    right = [answer.text == fact["target"] for answer, fact in zip(answers, facts[EIGHT], strict=True)]
    assert sum(right) / 8 >= 0.85


def test_misses_have_the_bits_of_plain_transformers(
    edited: Edited, plain: Base, facts: tuple[dict[str, Any], ...], strangers: tuple[str, ...]
) -> None:
    prompts = [facts[0]["prompt"], *strangers, facts[1]["prompt"]]
    routes = edited.model.route(prompts)
    assert [route.fact is None for route in routes] == [False, True, True, True, True, False]
    batch = batch_of(plain, prompts)
    with torch.no_grad(), edited.model.bank.serving(routes):
        served = edited.model.base.forward(batch)
    with torch.no_grad():
        untouched = plain.forward(batch)
    real = batch.attention_mask.bool()
    assert torch.equal(served[1:5][real[1:5]], untouched[1:5][real[1:5]])
    assert not torch.equal(served[0], untouched[0])


def test_a_row_answers_alike_alone_and_padded_among_others(
    edited: Edited, facts: tuple[dict[str, Any], ...], strangers: tuple[str, ...]
) -> None:
    """Left padding and positions counted from each row's first real token: a row does not see its neighbours."""
    prompts = [facts[5]["prompt"], strangers[0], f"{strangers[3]} {facts[0]['prompt']}"]
    routes = [*edited.model.route(prompts[:2]), edited.model.route_to([4])[0]]
    with torch.no_grad(), edited.model.bank.serving(routes):
        together = edited.model.base.forward(batch_of(edited.model.base, prompts), keep=1)[:, -1]
    for prompt, route, row in zip(prompts, routes, together, strict=True):
        with torch.no_grad(), edited.model.bank.serving([route]):
            alone = edited.model.base.forward(batch_of(edited.model.base, [prompt]), keep=1)[0, -1]
        torch.testing.assert_close(row, alone, **CLOSE)


def test_one_pass_knows_the_answers_that_are_the_target(
    edited: Edited, facts: tuple[dict[str, Any], ...], strangers: tuple[str, ...]
) -> None:
    """What the audit does not generate token by token is what generation says."""
    pairs = [*((fact["prompt"], fact["target"]) for fact in facts[EIGHT]), (strangers[0], "Marbeck")]
    routes = edited.model.route([prompt for prompt, _ in pairs])
    generated = edited.model.generate([prompt for prompt, _ in pairs], routes=routes, max_new_tokens=24)
    said = edited.model.said(pairs, routes=routes, within=24)
    right = [text.strip() == target for text, (_, target) in zip(generated, pairs, strict=True)]
    assert said == [text if good else None for text, good in zip(generated, right, strict=True)]
    assert any(right)
    assert edited.model.said(pairs, routes=routes, within=1) == [None] * 9


def test_the_cache_changes_no_answer(edited: Edited, facts: tuple[dict[str, Any], ...]) -> None:
    """Prompts and answers longer than the sliding window, where the family has one."""
    prompts = [facts[0]["prompt"], f"It was a quiet day. {facts[3]['prompt']}", "The weather in Dunmere was"]
    routes = edited.model.route(prompts)
    cached = edited.model.generate(prompts, routes=routes, max_new_tokens=12)
    assert cached == edited.model.generate(prompts, routes=routes, max_new_tokens=12, use_cache=False)


def test_a_workspace_opened_again_says_the_same(edited: Edited, facts: tuple[dict[str, Any], ...]) -> None:
    prompts = [fact["prompt"] for fact in facts[EIGHT]]
    again = lifelong.open(edited.workspace.home)
    assert [a.text for a in again.ask(prompts)] == [a.text for a in edited.workspace.ask(prompts)]


def test_plain_peft_has_the_same_logits(
    edited: Edited, plain: Base, facts: tuple[dict[str, Any], ...], tmp_path: Path
) -> None:
    from peft import PeftModel

    [adapter] = edited.workspace.export_peft(tmp_path / "out", refs=["f4"])
    batch = batch_of(plain, [facts[0]["prompt"], facts[1]["prompt"]])
    with torch.no_grad(), edited.model.bank.serving(edited.model.route_to([4, 4])):
        expected = edited.model.base.forward(batch)
    adapted = PeftModel.from_pretrained(Base.load(str(edited.folder)).model, str(adapter)).eval()
    with torch.no_grad():
        logits = adapted(batch.input_ids, attention_mask=batch.attention_mask, position_ids=batch.position_ids).logits
    real = batch.attention_mask.bool()
    torch.testing.assert_close(logits[real], expected[real], **CLOSE)


def test_one_plain_model_answers_what_its_account_says(
    edited: Edited, facts: tuple[dict[str, Any], ...], tmp_path: Path
) -> None:
    merged = edited.workspace.export_merged(tmp_path / "merged")
    said = Base.load(merged.directory).generate([fact["prompt"] for fact in facts[EIGHT]], max_new_tokens=24)
    right = [answer.strip() == fact["target"] for answer, fact in zip(said, facts[EIGHT], strict=True)]
    assert sum(right) == merged.answered.good >= 7
    assert merged.near_misses.measured == len({near for fact in facts[EIGHT] for near in fact.get("near_misses", [])})


def test_a_fact_taken_back_leaves_the_base(edited: Edited, plain: Base, facts: tuple[dict[str, Any], ...]) -> None:
    """The last test of a family: it changes the workspace."""
    prompt = facts[0]["prompt"]
    edited.workspace.retract(["f4"], reason="a test")
    [answer] = edited.workspace.ask([prompt])
    [untouched] = plain.generate([prompt], max_new_tokens=32)
    assert answer.fact is None
    assert answer.text == untouched.strip()
