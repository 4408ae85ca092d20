"""ROME: one fact at a time, by the rank-one update that maps its key to its value and disturbs ordinary keys least.

    Δ = r (C⁻¹k)ᵀ / (kᵀ C⁻¹ k)

Meng et al., 2022, "Locating and Editing Factual Associations in GPT" (arXiv 2202.05262).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors.closed import ClosedDials, ClosedFormEditor
from lifelong.editors.covariance import Definite


class RomeDials(ClosedDials):
    """As for all closed forms; a batch is always one fact."""

    batch_size: Annotated[int, Field(ge=1, le=1)] = 1


class RomeEditor(ClosedFormEditor):
    """Rank-one model editing."""

    Dials = RomeDials

    def solve(self, ordinary: Definite, keys: Tensor, residuals: Tensor) -> Tensor:
        """The rank-one update of the only key."""
        direction = ordinary.solve(keys.T)[:, 0]
        return torch.outer(residuals[0], direction) / (keys[0] @ direction)


EDITOR = RomeEditor
