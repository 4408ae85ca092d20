"""LEMoE against its paper: values by the projections, the key's logit, softmax over experts, by numpy in float64."""

from __future__ import annotations

import numpy as np
import torch

from lifelong.editors.lemoe import _RIDGE, discriminant, projected, trained_keys

WIDTH, INNER = 5, 7


def test_a_value_is_the_pooled_embedding_through_down_silu_and_up() -> None:
    pooled = torch.from_numpy(np.random.default_rng(0).normal(size=(3, WIDTH))).float()
    generator = torch.Generator().manual_seed(0)
    down = (torch.randn(INNER, WIDTH, generator=generator) / np.sqrt(WIDTH)).double().numpy()
    up = (torch.randn(WIDTH, INNER, generator=generator) / np.sqrt(INNER)).double().numpy()
    e = pooled.double().numpy()
    inner = e / np.sqrt((e**2).mean(1, keepdims=True)) @ down.T
    np.testing.assert_allclose(projected(pooled, INNER).numpy(), inner / (1 + np.exp(-inner)) @ up.T, rtol=1e-4)


def test_softmax_over_the_keys_is_the_posterior_of_the_batches() -> None:
    """Batches whose values spread as ordinary ones do: Bayes' rule with normal densities gives the same shares."""
    random = np.random.default_rng(1)
    means, ordinary, drawn = random.normal(size=(3, WIDTH)), random.normal(size=WIDTH), random.normal(size=(20, WIDTH))
    covariance = drawn.T @ drawn / 20
    keys = [
        discriminant(*(torch.from_numpy(x) for x in (mean, ordinary, covariance))).double().numpy() for mean in means
    ]
    value = random.normal(size=WIDTH)
    logits = np.array([key[:-1] @ value + key[-1] for key in keys])
    spread = covariance + _RIDGE * np.diag(covariance).mean() * np.eye(WIDTH)
    densities = np.array([np.exp(-(value - m) @ np.linalg.inv(spread) @ (value - m) / 2) for m in means])
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(shares, densities / densities.sum(), rtol=1e-4)


def test_keys_are_trained_until_each_wording_finds_its_own_expert_and_no_further() -> None:
    """One of three wordings lies nearer to the other batch's mean than to its own."""
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
    own = torch.tensor([0, 1, 0])
    keys = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = trained_keys(keys, values, own, 500)
    assert (values @ found[:, :2].T + found[:, 2]).argmax(1).tolist() == own.tolist()
    assert torch.equal(trained_keys(found, values, own, 500), found)
