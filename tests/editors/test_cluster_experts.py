"""MoCLE on keys one can draw: clusters, the gate's equation, and the mixture that a route stands for."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from lifelong.editors.mocle import centres_of, shares_of

DRAW = torch.Generator().manual_seed(0)


def test_keys_of_two_directions_have_two_centres() -> None:
    keys = normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]]), dim=1)
    centres = centres_of(keys, 2)
    torch.testing.assert_close(centres, torch.eye(2), atol=1e-6, rtol=0)


def test_the_surest_cluster_and_the_universal_expert_share_one() -> None:
    keys, centres = (normalize(torch.randn(n, 6, dtype=torch.float64, generator=DRAW), dim=1) for n in (5, 3))
    raised = np.exp(keys.numpy() @ centres.numpy().T / 0.2)
    gate = raised / raised.sum(1, keepdims=True)
    expected = np.zeros((5, 4))
    for row, shares in enumerate(gate):
        expected[row, shares.argmax()] = shares.max()
        expected[row, 3] = 1 - shares.max()
    np.testing.assert_allclose(shares_of(keys, centres, 0.2).numpy(), expected)


def test_a_cold_gate_trusts_the_cluster_and_a_hot_one_the_universal_expert() -> None:
    keys = normalize(torch.randn(4, 6, generator=DRAW), dim=1)
    cold, hot = (shares_of(keys, keys, temperature)[:, -1] for temperature in (1e-3, 100.0))
    assert cold.max() < 1e-6
    torch.testing.assert_close(hot, torch.full((4,), 0.75), atol=0.01, rtol=0)


def test_one_cluster_needs_no_universal_expert() -> None:
    keys = normalize(torch.randn(3, 6, generator=DRAW), dim=1)
    assert shares_of(keys, centres_of(keys, 1), 0.1).tolist() == [[1.0]] * 3
