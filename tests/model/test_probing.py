"""`init` on a new model tries where experts should stand, says so, and writes it down."""

from __future__ import annotations

from pathlib import Path

import pytest
from families import tiny

import lifelong
from editlog.errors import LifelongError, UsageError
from lifelong.models.base import Base
from lifelong.verbs.probing import PRESETS, Trial, preset


def test_the_probe_chooses_and_writes_it_down(tiny_model: Path, tmp_path: Path) -> None:
    heard: list[Trial] = []
    made = lifelong.init(tmp_path / "home", model=str(tiny_model), told=heard.append)
    choice = made.choice
    assert choice is not None
    assert list(choice.trials) == heard
    assert {trial.preset for trial in heard} == {"last-up", "last-down", "last-attention", "middle-down"}
    best = max(heard, key=lambda trial: trial.merit)
    assert best.preset in choice.why
    again = lifelong.open(tmp_path / "home")
    assert again.config.overrides == choice.overrides
    assert again.recipe.experts.modules == best.modules
    assert again.recipe.experts.layers == best.layers
    assert again.recipe.training.value_rate == best.value_rate


def test_a_preset_is_taken_without_a_probe(tiny_model: Path, tmp_path: Path) -> None:
    made = lifelong.init(tmp_path / "home", model=str(tiny_model), preset="last-attention", dry_run=True)
    assert made.choice is not None
    assert made.choice.trials == ()
    assert made.recipe.experts.modules == ("attn.out",)


def test_a_mixture_has_its_attention_and_says_what_it_lacks(tokenizer_path: Path) -> None:
    mixture = Base(*tiny("mixtral", tokenizer_path), "mixtral")
    with pytest.raises(UsageError, match=r"has no mlp.up module \(it has: attn.out\)"):
        preset(mixture, "last-up")
    assert preset(mixture, "last-attention").overrides == {"experts": {"layers": [-1], "modules": ["attn.out"]}}
    with pytest.raises(UsageError, match=", ".join(PRESETS)):
        preset(mixture, "the-best")


def test_another_model_in_the_same_place_is_refused(tiny_model: Path, tmp_path: Path, tokenizer_path: Path) -> None:
    lifelong.init(tmp_path / "home", model=str(tiny_model), probe=False)
    other = lifelong.open(tmp_path / "home")
    other._base = Base(*tiny("llama", tokenizer_path), str(tiny_model))
    with pytest.raises(LifelongError, match="lifelong rebase"):
        other.ask(["The capital of Osterland is"])
