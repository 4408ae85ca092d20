"""Stored activations are a shortcut: the same logits and the same gradients as the whole forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lifelong.editors.activations import UpperLayers
from lifelong.models.base import Base, Batch
from lifelong.models.sites import Site, find_sites

KEEP = 3
SITES = [
    ((2,), ("mlp.down",)),
    ((2,), ("mlp.up", "attn.out")),
    ((1,), ("mlp.down",)),
    ((0,), ("attn.out",)),
    ((0, 2), ("mlp.down", "mlp.up")),
]


@pytest.fixture(scope="module")
def base(tokenizer_path: Path) -> Base:
    """Three layers, so that some lie below an edited layer and some above."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=480, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        initializer_range=0.3,
    )  # fmt: skip
    return Base(LlamaForCausalLM(config), AutoTokenizer.from_pretrained(tokenizer_path), "three layers")


@pytest.fixture(scope="module")
def batch(base: Base) -> Batch:
    """Rows of different lengths, one shorter than the positions that are kept."""
    return base.pad_left([[7, 8, 9, 10, 11, 12], [20, 21, 22], [30, 31], [40, 41, 42, 43, 44]])


@contextlib.contextmanager
def adding(base: Base, sites: Sequence[Site], factors: Sequence[Tensor]) -> Iterator[None]:
    """Add B A x at every site, by row."""
    with contextlib.ExitStack() as hooks:
        for site, a, b in zip(sites, factors[::2], factors[1::2], strict=True):

            def add(_: object, inputs: tuple[Tensor, ...], y: Tensor, a: Tensor = a, b: Tensor = b) -> Tensor:
                return y + torch.einsum("nli,nri,nor->nlo", inputs[0], a, b)

            hooks.callback(base.model.get_submodule(site.path).register_forward_hook(add).remove)
        yield


@pytest.mark.parametrize(("layers", "roles"), SITES, ids=str)
def test_logits_and_gradients_are_those_of_the_long_way(
    base: Base, batch: Batch, layers: tuple[int, ...], roles: tuple[str, ...]
) -> None:
    sites = find_sites(base.model, layers, roles)
    random = torch.Generator().manual_seed(1)
    factors = [
        torch.randn(shape, generator=random, requires_grad=True)
        for site in sites
        for shape in ((4, 2, site.in_features), (4, site.out_features, 2))
    ]
    upper = UpperLayers(base, sites)
    stored = upper.store(batch, KEEP)

    def logits_and_gradients(short: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        with adding(base, sites, factors):
            logits = upper.forward(stored, KEEP) if short else base.forward(batch, keep=KEEP)
        real = logits[batch.attention_mask[:, -KEEP:].bool()]
        return real, torch.autograd.grad((real * torch.arange(len(real))[:, None]).sin().sum(), factors)

    short, long = logits_and_gradients(True), logits_and_gradients(False)
    torch.testing.assert_close(short[0], long[0], rtol=1e-4, atol=1e-4)
    for one, other in zip(short[1], long[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_only_the_last_layer_lets_positions_be_cut(base: Base, batch: Batch) -> None:
    last = UpperLayers(base, find_sites(base.model, [2], ["mlp.down"])).store(batch, KEEP)
    middle = UpperLayers(base, find_sites(base.model, [1], ["mlp.down"])).store(batch, KEEP)
    assert last.hidden.shape[1] == KEEP
    assert middle.hidden.shape[1] == batch.input_ids.shape[1]


def test_single_positions_have_the_logits_they_have_among_all(base: Base, batch: Batch) -> None:
    upper = UpperLayers(base, find_sites(base.model, [2], ["mlp.down"]))
    stored = upper.store(batch, KEEP)
    counted = torch.tensor([[True, False, True], [False, False, True], [False, True, True], [True, True, True]])
    with torch.no_grad():
        torch.testing.assert_close(upper.forward_at(stored, counted), upper.forward(stored, KEEP)[counted])


def test_some_rows_give_what_all_rows_gave_them(base: Base, batch: Batch) -> None:
    upper = UpperLayers(base, find_sites(base.model, [2], ["mlp.down"]))
    stored = upper.store(batch, KEEP)
    few = torch.tensor([3, 0])
    with torch.no_grad():
        torch.testing.assert_close(upper.forward(stored.rows(few), KEEP), upper.forward(stored, KEEP)[few])


def test_the_model_is_whole_again_afterwards(base: Base, batch: Batch) -> None:
    with torch.no_grad():
        before = base.forward(batch)
        upper = UpperLayers(base, find_sites(base.model, [1], ["mlp.down"]))
        upper.forward(upper.store(batch, KEEP), KEEP)
        assert torch.equal(base.forward(batch), before)
