"""Muon: momentum whose matrix updates are made orthogonal, so that rare directions move as much as common ones.

Memorising facts is made of rare directions: on 1,000 of them the answer loss after eight visits was 0.95 where
AdamW stood at 2.35 after twenty-three (docs/LOG.md). PyTorch's own Muon iterates in bfloat16, which a CPU
without bfloat16 units does many times slower; this one iterates in float32, and matrices of one shape at once.

Keller Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon); the scale that makes its rate comparable
to AdamW's is Liu et al., 2025 (arXiv 2502.16982).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# The quintic's coefficients push every singular value towards 1 fastest from far below it.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_RMS_OF_ADAMW = 0.2
_TINY = 1e-7


def orthogonalised(matrices: Tensor, iterations: int) -> Tensor:
    """Return float32 matrices [n, rows, columns] with all singular values brought near 1."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + _TINY)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, with decoupled weight decay; for weights of two dimensions."""

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        rate: float,
        *,
        weight_decay: float,
        momentum: float = 0.95,
        iterations: int = 3,
    ) -> None:
        super().__init__(
            weights, {"lr": rate, "weight_decay": weight_decay, "momentum": momentum, "iterations": iterations}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for weights in by_shape.values():
                self._update(weights, group)

    def _update(self, weights: list[nn.Parameter], group: dict[str, float]) -> None:
        moments = torch.stack([self._moment(weight, group["momentum"]) for weight in weights])
        directions = orthogonalised(moments, int(group["iterations"]))
        scale = group["lr"] * _RMS_OF_ADAMW * max(weights[0].shape) ** 0.5
        for weight, direction in zip(weights, directions, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-scale)

    def _moment(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """Return the Nesterov look-ahead after taking the weight's gradient into its momentum."""
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        assert weight.grad is not None
        state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["momentum"], momentum)
