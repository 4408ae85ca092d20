"""Mixing the A (or the B) of several experts number by number, as PEFT does; stacks are [experts, ...]."""

from __future__ import annotations

import torch
from torch import Tensor


def mean(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """The mean: where experts give one answer, each of their ranks stands for the same token of it."""
    return stack.mean(0)


def linear(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """The sum."""
    return stack.sum(0)


def ties(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """Of each expert only the largest numbers; where experts disagree on the sign, the weightier sign alone."""
    return _agreeing(torch.stack([_largest(one, density) for one in stack]))


def dare_linear(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """The sum of what is left of each expert after a random drop, scaled up to make good for it."""
    return _drawn(stack, density, draw).sum(0)


def dare_ties(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """The same drop, then the weightier sign alone."""
    return _agreeing(_drawn(stack, density, draw))


def _largest(tensor: Tensor, density: float) -> Tensor:
    kept = torch.topk(tensor.abs().flatten(), k=int(density * tensor.numel())).indices
    mask = torch.zeros(tensor.numel())
    mask[kept] = 1
    return tensor * mask.view_as(tensor)


def _drawn(stack: Tensor, density: float, draw: torch.Generator) -> Tensor:
    kept = [torch.bernoulli(torch.full_like(one, density), generator=draw) for one in stack]
    return stack * torch.stack(kept) / density


def _agreeing(stack: Tensor) -> Tensor:
    """The mean, at each place, of the numbers that have the sign of the sum."""
    majority = torch.where(stack.sum(0) >= 0, 1, -1)
    agrees = stack.sign() == majority
    return (stack * agrees).sum(0) / agrees.sum(0).clamp(min=1)
