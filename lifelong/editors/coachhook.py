"""CoachHooK: hook layers beside the base's, updated in closed form, entered by the tokens that stand out there.

    Δ = R Kᵀ (λC + K_past K_pastᵀ + K Kᵀ)⁻¹

With the keys of earlier batches in the system, consecutive batches come to what one batch of all would: recursive least
squares. A token takes the hook where ‖Δk‖ stands `alpha` standard deviations or more above what it is on ordinary text,
else the base's own layer; `alpha` falls from its dial to the least of the edited keys' own scores.

Other than the published code, mean and deviation are those of ordinary text, not of the batch at hand: a token decoded
alone has no others to stand out from. Keys and residuals of the facts are kept beside the hook layers, so that a fact
can be forgotten exactly; what is served is of constant size.

Li et al., 2024, "Consecutive Batch Model Editing with HooK Layers" (arXiv 2403.05330).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors.closed import Ledger
from lifelong.editors.covariance import Definite, ordinary_keys
from lifelong.editors.memit import MemitDials, MemitEditor
from lifelong.editors.routers import Scene
from lifelong.editors.state import State
from lifelong.experts.expert import Expert
from lifelong.experts.operators.rows import RowSlots, TokenGate
from lifelong.models.base import Base

_TINY = 1e-12


class CoachHookDials(MemitDials):
    """As for MEMIT; `alpha` is the z-score from which a token takes the hook, unless an edited key needs less."""

    alpha: Annotated[float, Field(gt=0.0, le=100.0)] = 2.2


def z_scores(norms: Tensor, ordinary: Tensor) -> Tensor:
    """How many standard deviations norms [n] stand above the mean of ordinary ones [m]; [n]."""
    return (norms - ordinary.mean()) / ordinary.std(correction=0).clamp_min(_TINY)


class CoachHookEditor(MemitEditor):
    """MEMIT's system with all keys accumulated, in hook layers behind a token gate."""

    Dials = CoachHookDials

    def behind(self, ordinary: Definite, keys: Tensor) -> Definite:
        """With these keys, by the weight that they have in MEMIT's system."""
        return Definite(ordinary.matrix + keys.T @ keys / self.dials.preserve)

    def kept(self, base: Base, ledger: Ledger, expert: Expert) -> State:
        """The ledger, and for each site what the token gate compares with: mean, deviation, bound; float32 [3]."""
        state = ledger.state(expert.hash)
        bounds = {}
        for site, delta in ledger.deltas.items():
            ordinary = (ordinary_keys(base, self.corpus, site) @ delta.float().T).norm(dim=1)
            own = z_scores((ledger.keys[site] @ delta.float().T).norm(dim=1), ordinary)
            alpha = min(float(own.min()), self.dials.alpha)
            spread = float(ordinary.std(correction=0).clamp_min(_TINY))
            bounds[f"{site}/bound"] = torch.tensor([float(ordinary.mean()), spread, alpha])
        return State({**state.tensors, **bounds}, state.facts, state.meta)

    def token_gate(self, scene: Scene) -> TokenGate | None:
        """The hook for tokens that stand out."""
        if scene.state is None:
            return None
        held = scene.state.tensors.items()
        bounds = {name.removesuffix("/bound"): tensor for name, tensor in held if name.endswith("/bound")}
        return _StandsOut({site: (float(m), float(s), float(a)) for site, (m, s, a) in bounds.items()})


class _StandsOut:
    def __init__(self, bounds: Mapping[str, tuple[float, float, float]]) -> None:
        self._bounds = bounds

    def __call__(self, site: str, x: Tensor, change: Tensor, routed: RowSlots) -> Tensor:
        mean, spread, alpha = self._bounds[site]
        scores = (change.float().norm(dim=-1, keepdim=True) - mean) / spread
        return torch.where(scores >= alpha, change, torch.zeros_like(change))


EDITOR = CoachHookEditor
