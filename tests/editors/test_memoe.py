"""MEMoE against its paper: the router on the joined vector, and the mixture, by numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifelong.editors.mixture import AnchoredTokens, Mixture, even, shares
from lifelong.experts.operators.rows import RowSlots
from lifelong.models.sites import Site

SITE = Site("mlp", 0, "mlp.down", 6, 4)
EXPERTS, RANK, ANCHOR, TOP, LENGTH = 3, 2, 5, 2, 4


@pytest.fixture
def mixture() -> Mixture:
    """Three experts that have learned something."""
    made = Mixture(SITE, EXPERTS, RANK, anchor=ANCHOR, top=TOP, seed=0)
    torch.nn.init.normal_(made.b, generator=torch.Generator().manual_seed(1))
    return made


def draw(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(shape[0]).normal(size=shape)).float()


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean())


def as_written(mixture: Mixture, x: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """One token by the paper: anchor and token joined, one router matrix, softmax over the top experts."""
    a, b, by_anchor, by_token = (
        part.detach().double().numpy() for part in (mixture.a, mixture.b, mixture.by_anchor, mixture.by_token)
    )
    logits = np.concatenate([by_anchor, by_token], 1) @ np.concatenate([unit(anchor), unit(x)])
    chosen = np.argsort(-logits)[:TOP]
    share = np.exp(logits[chosen]) / np.exp(logits[chosen]).sum()
    return np.sum([p * b[i] @ (a[i] @ x) for p, i in zip(share, chosen, strict=True)], axis=0)


def test_a_token_takes_the_mixture_of_the_paper(mixture: Mixture) -> None:
    x, anchors = draw(2, LENGTH, 6), draw(2, ANCHOR)
    found = mixture(x, anchors).detach().numpy()
    for row in range(2):
        for token in range(LENGTH):
            expected = as_written(mixture, x[row, token].double().numpy(), anchors[row].double().numpy())
            np.testing.assert_allclose(found[row, token], expected, rtol=1e-4, atol=1e-5)


def test_weights_of_a_row_and_a_token_gate_serve_what_was_trained(mixture: Mixture) -> None:
    """The slots stand in another order than the experts, and rows among others, as in a bank."""
    x, anchors, slots = draw(2, LENGTH, 6), draw(2, ANCHOR), torch.tensor([7, 3, 5])
    with torch.no_grad():
        logits = even(anchors) @ mixture.by_anchor.T
        weights = (logits - logits.max(1, keepdim=True).values).exp().reshape(-1)
        rows = torch.tensor([1, 4]).repeat_interleave(EXPERTS)
        entries = x.repeat_interleave(EXPERTS, 0)
        change = torch.einsum("elk,erk,eor->elo", entries, mixture.a.repeat(2, 1, 1), mixture.b.repeat(2, 1, 1))
        routed = RowSlots(rows, slots.repeat(2), weights)
        gated = AnchoredTokens(slots, mixture.by_token, TOP)("mlp", entries, change, routed) * weights[:, None, None]
        torch.testing.assert_close(gated.view(2, EXPERTS, LENGTH, 4).sum(1), mixture(x, anchors), rtol=1e-4, atol=1e-5)


def test_only_the_top_experts_share_a_token() -> None:
    found = shares(torch.tensor([1.0, 3.0, 2.0]), 2)
    assert float(found[0]) == 0.0
    np.testing.assert_allclose(found[1:].numpy(), np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum(), rtol=1e-6)
