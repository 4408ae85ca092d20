"""MALMEN's hypernetwork, and the normal equation that turns what it says of each token into one shift of a matrix.

For a token with key k and value gradient g the network gives a pseudo key k̃ and a pseudo gradient g̃; their rank-one
shift -η g̃ k̃ᵀ, applied to the token's own key, is the value difference d that the token asks for. Of all tokens:

    min ‖S K - D‖² + λ‖S‖²    =>    S = D Kᵀ (K Kᵀ + λI)⁻¹

η and λ are learned with the network, as logarithms, from a start in the units of the base.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

TOKENS_AT_ONCE = 1024
_TINY = 1e-8


def normal_equation(keys: Tensor, differences: Tensor, ridge: Tensor) -> Tensor:
    """S [out, in] of keys [tokens, in], differences [tokens, out] and λ; by the smaller of the two equal systems."""
    if len(keys) < keys.shape[1]:
        gram = keys @ keys.T + ridge * torch.eye(len(keys), dtype=keys.dtype, device=keys.device)
        by_token: Tensor = torch.linalg.solve(gram, differences)
        return by_token.T @ keys
    moment = keys.T @ keys + ridge * torch.eye(keys.shape[1], dtype=keys.dtype, device=keys.device)
    shift: Tensor = torch.linalg.solve(moment, keys.T @ differences)
    return shift.T


class _Block(nn.Module):
    """x + scale · relu(x A B + bias), of a low rank; at first it changes nothing."""

    def __init__(self, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(width, rank, generator=generator) / math.sqrt(width))
        self.b = nn.Parameter(torch.zeros(rank, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.relu(x @ self.a @ self.b + self.bias)


class Hypernetwork(nn.Module):
    """One site's: from keys [tokens, in] and value gradients [tokens, out] to value differences [tokens, out]."""

    mean: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, width_in: int, width_out: int, *, rank: int, blocks: int, seed: int = 0) -> None:
        super().__init__()
        width = width_in + width_out
        generator = torch.Generator().manual_seed(seed)
        self.width_in = width_in
        self.blocks = nn.ModuleList(_Block(width, rank, generator) for _ in range(blocks))
        self.rate = nn.Parameter(torch.zeros(()))
        self.ridge = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("unit", torch.ones(()))

    @torch.no_grad()
    def start(self, keys: Tensor, gradients: Tensor, *, size: float, rate: float, ridge: float) -> None:
        """Normalise by these tokens; differences begin as `rate` of `size` (root mean square), λ as `ridge` of ‖k‖²."""
        both = torch.cat([keys, gradients], 1)
        self.mean.copy_(both.mean(0))
        # A width that these tokens leave still must not be blown up where a later one moves it.
        spread = both.std(0, correction=0)
        widths = (spread[: self.width_in], spread[self.width_in :])
        floors = [torch.full_like(part, 0.05 * float(part.mean())) for part in widths]
        self.spread.copy_(torch.maximum(spread, torch.cat(floors)).clamp_min(_TINY))
        raw = self(keys, gradients).square().mean().sqrt().clamp_min(_TINY)
        self.unit.copy_(size / raw)
        self.rate.fill_(math.log(rate))
        self.ridge.fill_(math.log(ridge * float(keys.square().sum(1).mean())))

    def forward(self, keys: Tensor, gradients: Tensor) -> Tensor:
        """D: each token's -η ⟨k̃, k⟩ g̃."""
        hidden = (torch.cat([keys, gradients], 1) - self.mean) / self.spread
        for block in self.blocks:
            hidden = block(hidden)
        pseudo_keys, pseudo_gradients = hidden[:, : self.width_in], hidden[:, self.width_in :]
        answers = (pseudo_keys * keys).sum(1, keepdim=True)
        found: Tensor = -self.unit * self.rate.exp() * answers * pseudo_gradients
        return found

    @torch.no_grad()
    def differences(self, keys: Tensor, gradients: Tensor) -> Tensor:
        """The same for any number of tokens, slice by slice, without gradients."""
        return torch.cat([self(keys[part], gradients[part]) for part in _slices(len(keys))])

    def learn(self, keys: Tensor, gradients: Tensor, wanted: Tensor) -> None:
        """Accumulate the network's gradients, given that of a loss by its differences [tokens, out]; by slices."""
        for part in _slices(len(keys)):
            (self(keys[part], gradients[part]) * wanted[part]).sum().backward()


def _slices(tokens: int) -> Iterator[slice]:
    for start in range(0, tokens, TOKENS_AT_ONCE):
        yield slice(start, start + TOKENS_AT_ONCE)
