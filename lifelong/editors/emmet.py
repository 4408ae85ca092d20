"""EMMET: a batch of facts under equality constraints, ROME's update for many keys at once.

    Δ = R (Kᵀ C⁻¹ K + λI)⁻¹ Kᵀ C⁻¹

λ only keeps the system solvable where keys are nearly dependent; it counts in the mean of the diagonal.

Gupta et al., 2024, "A Unified Framework for Model Editing" (arXiv 2403.14236).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors.closed import ClosedDials, ClosedFormEditor
from lifelong.editors.covariance import Definite


class EmmetDials(ClosedDials):
    """As for all closed forms; `ridge` is λ, as a share of the mean of the diagonal."""

    ridge: Annotated[float, Field(ge=0.0)] = 0.1


class EmmetEditor(ClosedFormEditor):
    """Equality-constrained mass model editing."""

    Dials = EmmetDials

    def solve(self, ordinary: Definite, keys: Tensor, residuals: Tensor) -> Tensor:
        """The least change that maps every key to its residual."""
        spread = ordinary.solve(keys.T)
        gram = keys @ spread
        ridge = self.dials.ridge * gram.diagonal().mean() * torch.eye(len(keys), dtype=keys.dtype)
        by_fact: Tensor = torch.linalg.solve(gram + ridge, spread.T)
        return residuals.T @ by_fact


EDITOR = EmmetEditor
