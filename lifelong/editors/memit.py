"""MEMIT: a batch of facts by least squares, weighed against ordinary keys, spread over several layers.

    Δ = R Kᵀ (λC + K Kᵀ)⁻¹

with a key and a residual in each column of K and R. Each layer takes its equal share of what is still missing.

Meng et al., 2023, "Mass-Editing Memory in a Transformer" (arXiv 2210.07229); batch sizes: "Is Bigger Edit Batch Size
Always Better?" (arXiv 2405.00664).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors.closed import ClosedDials, ClosedFormEditor
from lifelong.editors.covariance import Definite


class MemitDials(ClosedDials):
    """As for all closed forms; `preserve` is λ, how many ordinary keys count against the batch's."""

    preserve: Annotated[float, Field(gt=0.0)] = 100.0


class MemitEditor(ClosedFormEditor):
    """Mass-editing memory in a transformer."""

    Dials = MemitDials

    def solve(self, ordinary: Definite, keys: Tensor, residuals: Tensor) -> Tensor:
        """Least squares; by the smaller of the two equal systems, over facts or over the keys' width."""
        preserve = self.dials.preserve
        if len(keys) < keys.shape[1]:
            spread = ordinary.solve(keys.T) / preserve
            gram = torch.eye(len(keys), dtype=keys.dtype) + keys @ spread
            by_fact: Tensor = torch.linalg.solve(gram, spread.T)
            return residuals.T @ by_fact
        change: Tensor = torch.linalg.solve(preserve * ordinary.matrix + keys.T @ keys, keys.T @ residuals)
        return change.T


EDITOR = MemitEditor
