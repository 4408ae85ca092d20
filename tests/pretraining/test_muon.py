"""Muon: what makes it learn rare directions is that its updates have no weak direction."""

import torch
from torch import nn

from pretraining.muon import Muon, orthogonalised


def test_singular_values_far_apart_come_near_one() -> None:
    left, _ = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))
    right, _ = torch.linalg.qr(torch.randn(20, 12, generator=torch.Generator().manual_seed(1)))
    matrix = left @ torch.diag(torch.logspace(0, -1, 12)) @ right.T
    for each in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalised(each[None], 5)[0])
        assert values.min() > 0.6 and values.max() < 1.3


def test_it_solves_a_badly_scaled_regression() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 8) * torch.logspace(0, -2, 8)
    wanted = inputs @ torch.randn(8, 4)
    layer = nn.Linear(8, 4, bias=False)
    first = nn.functional.mse_loss(layer(inputs), wanted).item()
    optimiser = Muon(layer.parameters(), 0.5, weight_decay=0.0)
    for step in range(200):
        for group in optimiser.param_groups:
            group["lr"] = 0.5 * (1 - step / 200)
        optimiser.zero_grad()
        nn.functional.mse_loss(layer(inputs), wanted).backward()
        optimiser.step()
    assert nn.functional.mse_loss(layer(inputs), wanted).item() < 0.01 * first


def test_a_weight_without_a_gradient_stays() -> None:
    used, unused = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    optimiser = Muon([used, unused], 0.1, weight_decay=0.1)
    used.sum().backward()
    optimiser.step()
    assert not torch.equal(used, torch.ones(3, 3))
    assert torch.equal(unused, torch.ones(3, 3))
