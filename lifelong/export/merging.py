"""Experts that act on every prompt, as changes of the weights at their sites: nothing is fitted."""

from __future__ import annotations

import torch
from torch import Tensor

from lifelong.experts.bank import Bank, Route
from lifelong.models.base import Base
from lifelong.models.sites import linear_widths


@torch.no_grad()
def standing_changes(base: Base, bank: Bank, route: Route) -> dict[str, Tensor]:
    """What linear experts that always act add to each site's weight, [out, in], by module path."""
    changes = {}
    for path in bank.sites:
        module = base.model.get_submodule(path)
        widths = linear_widths(module)
        assert widths is not None, "a bank takes no other site"
        x = torch.eye(widths[0], device=base.device, dtype=base.model.dtype)[None]
        untouched = module(x)
        with bank.serving([route]):
            changes[path] = (module(x) - untouched)[0].T
    return changes


def add_to_weights(base: Base, changes: dict[str, Tensor]) -> None:
    """Add the changes to a model's weights; the model is one of its own, never the workspace's base."""
    for path, change in changes.items():
        weight = base.model.get_submodule(path).weight
        transposed = type(base.model.get_submodule(path)).__name__ == "Conv1D"
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight += (change.T if transposed else change).to(weight.device, weight.dtype)
