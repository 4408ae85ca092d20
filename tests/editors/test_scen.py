"""SCEN's indexing neurons on keys one can draw: on at their facts, off at the others, by the widest margin."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from lifelong.editors.scen import ScenDials, neurons

DIALS = ScenDials(sweeps=300, margin=0.7)
LOGIT = np.log(DIALS.threshold / (1 - DIALS.threshold))
NONE = torch.zeros(0, 24, dtype=torch.float64)


def keys_of(count: int, width: int = 24) -> torch.Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    return normalize(drawn, dim=1)


def test_a_neuron_is_on_at_its_fact_and_off_at_all_others() -> None:
    keys = keys_of(20)
    active = torch.sigmoid(keys @ neurons(keys, NONE, DIALS).T)
    own, others = active.diagonal(), active[~torch.eye(20, dtype=torch.bool)]
    assert own.min() > DIALS.threshold > others.max()


def test_it_is_on_at_a_wording_near_its_fact_unless_another_fact_is_nearer() -> None:
    keys = keys_of(12)
    near = normalize(keys + 0.5 * keys_of(12).roll(5, 0), dim=1)
    active = torch.sigmoid(near @ neurons(keys, NONE, DIALS).T)
    assert active.argmax(1).tolist() == list(range(12))
    assert active.diagonal().min() > DIALS.threshold


def test_facts_that_end_nearly_alike_are_told_apart() -> None:
    """Random negatives would be far from both, and the other's neuron on at either."""
    keys = keys_of(8)
    keys[1] = normalize(keys[0] + 0.1 * keys[1], dim=0)
    active = torch.sigmoid(keys[:2] @ neurons(keys, NONE, ScenDials(sweeps=2000, margin=0.7)).T)
    assert active[0, 0] > DIALS.threshold > active[0, 1]
    assert active[1, 1] > DIALS.threshold > active[1, 0]


def test_the_neuron_of_one_negative_is_the_shortest_vector_with_both_margins() -> None:
    """Both constraints tight: w = E^T (E E^T)^-1 [l + m, l - m], by numpy in float64."""
    keys = keys_of(2)
    examples = keys.numpy()
    wanted = np.array([LOGIT + DIALS.margin, LOGIT - DIALS.margin])
    expected = examples.T @ np.linalg.solve(examples @ examples.T, wanted)
    np.testing.assert_allclose(neurons(keys, NONE, DIALS)[0].numpy(), expected, rtol=1e-6, atol=1e-9)


def test_no_neuron_loses_less_than_the_one_found() -> None:
    """The loss of the module's first words, C = 100, around what was found: it is convex, so this is its minimum."""
    keys = keys_of(10)
    keys[1] = keys[0]  # these two cannot be told apart

    def loss(w: np.ndarray) -> float:
        on = max(0.0, LOGIT + DIALS.margin - float(keys[0].numpy() @ w))
        off = np.maximum(0.0, keys[1:].numpy() @ w - LOGIT + DIALS.margin).sum()
        return float(w @ w) / 2 + 100.0 * (on + off)

    found = neurons(keys, NONE, ScenDials(sweeps=3000, margin=0.7))[0].numpy()
    draw = np.random.default_rng(0)
    nudges = [found + size * draw.normal(size=24) for size in (1e-3, 1e-2, 0.1, 1.0) for _ in range(50)]
    assert loss(found) <= min(map(loss, nudges)) + 1e-6


def test_without_a_history_a_neuron_keeps_off_plain_sentences() -> None:
    keys, plain = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    alone = neurons(keys, torch.zeros(0, 2), DIALS)
    taught = neurons(keys, plain, DIALS)
    assert torch.sigmoid(plain[0] @ alone[0]) > DIALS.threshold > torch.sigmoid(plain[0] @ taught[0])
