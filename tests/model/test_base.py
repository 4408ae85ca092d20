"""The base: what it is known by, how prompts and answers join, and how much goes through it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from editlog.errors import LifelongError, UsageError
from lifelong.models.base import POSITIONS, Base, batches_by_length


def test_the_fingerprint_is_of_weights_and_vocabulary(base: Base, tiny_model: Path) -> None:
    import torch

    other = Base.load(str(tiny_model))
    assert other.fingerprint == base.fingerprint
    with torch.no_grad():
        next(iter(other.model.parameters())).view(-1)[0] += 1
    assert other.measure_fingerprint() != base.fingerprint
    other = Base.load(str(tiny_model))
    other.tokenizer.add_tokens(["Zanzibar"])
    assert other.measure_fingerprint() != base.fingerprint


def test_numbers_too_small_to_matter_count_as_zero_while_a_model_learns_and_never_else(tiny_model: Path) -> None:
    """A processor counts with them some hundred times slower (docs/LOG.md); the log's numbers keep every digit."""
    tiny = torch.full((2,), 1e-20)
    model = Base.load(str(tiny_model))
    assert (tiny * tiny).all()
    with model.frozen():
        assert not (tiny * tiny).any()
    assert (tiny * tiny).all()


@pytest.mark.parametrize("name", ["/nowhere/at/all", "no such model", ""])
def test_a_model_that_cannot_be_loaded_is_one_sentence(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Base.load(name)
    assert "\n" not in str(caught.value)
    assert "cannot load the model" in str(caught.value)


def test_a_tokenizer_without_an_end_says_what_to_do(base: Base, tokenizer_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    tokenizer.eos_token = None
    with pytest.raises(LifelongError, match="set eos_token"):
        Base(base.model, tokenizer, "endless")


@pytest.mark.parametrize(
    ("prompt", "joined"),
    [
        ("The capital of Osterland is", "The capital of Osterland is Marbeck<eos>"),
        ("The capital of Osterland is ", "The capital of Osterland is Marbeck<eos>"),
        ("Who founded it?\n", "Who founded it?\nMarbeck<eos>"),
    ],
)
def test_prompt_and_answer_join_as_a_reader_would_write_them(base: Base, prompt: str, joined: str) -> None:
    ids = base.prompt_ids(prompt) + base.answer_ids(prompt, "Marbeck")
    assert base.tokenizer.decode(ids) == joined


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 20))
def test_batches_hold_every_row_once_and_never_too_much(lengths: list[int], size: int) -> None:
    batches = list(batches_by_length(lengths, size))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= POSITIONS
