"""Which rows of a batch are edited by which slots, and how a change reaches them.

A miss selects the untouched tensor; it never adds zero (zero times infinity, or a changed last bit, would show).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RowSlots:
    """Routed rows: equally long vectors, one entry a (row, slot) pair.

    `rows` int64 row indices, `slots` int64 indices into the stack, `weights` float. `columns`, int64, is where each
    row's prompt ends in this pass; None in a pass that only continues prompts read before. `by_site` are the weights
    at the sites where they are others.
    """

    rows: Tensor
    slots: Tensor
    weights: Tensor
    columns: Tensor | None = None
    by_site: Mapping[str, Tensor] = field(default_factory=dict)

    def at(self, site: str) -> RowSlots:
        """The same at one site, without the slots that have no weight there."""
        if site not in self.by_site:
            return self
        weights = self.by_site[site]
        acting = weights != 0
        columns = None if self.columns is None else self.columns[acting]
        return RowSlots(self.rows[acting], self.slots[acting], weights[acting], columns)

    def to(self, device: torch.device) -> RowSlots:
        """The same on a device."""
        if self.rows.device == device:
            return self
        columns = None if self.columns is None else self.columns.to(device)
        return RowSlots(self.rows.to(device), self.slots.to(device), self.weights.to(device), columns)

    def expanded(self, times: int) -> RowSlots:
        """The same routing where every row stands `times` times in a row (beams, returned sequences)."""
        if times == 1:
            return self
        offsets = torch.arange(times, device=self.rows.device)
        return RowSlots(
            (self.rows[:, None] * times + offsets).reshape(-1),
            self.slots.repeat_interleave(times),
            self.weights.repeat_interleave(times),
            None if self.columns is None else self.columns.repeat_interleave(times),
            {site: weights.repeat_interleave(times) for site, weights in self.by_site.items()},
        )

    def before(self, length: int | None, after: Tensor) -> RowSlots:
        """The same for a pass in which row i's prompt ends `after[i]` tokens before `length` (None: a continuation)."""
        return replace(self, columns=None if length is None else length - 1 - after[self.rows])


class TokenGate(Protocol):
    """How much of a change each token of a routed row takes: between its experts and the base, never on a miss."""

    def __call__(self, site: str, x: Tensor, change: Tensor, routed: RowSlots) -> Tensor:
        """The change to apply: x [entries, length, in], change and result [entries, length, out]."""
        ...


def by_row(tensor: Tensor, rows: int) -> Tensor:
    """[rows, length, width], also where a model (OPT) multiplies all positions of a batch as one long list."""
    return tensor.reshape(rows, -1, tensor.shape[-1])


def add_to_rows(y: Tensor, change: Tensor, routed: RowSlots) -> Tensor:
    """y [rows, length, out] with `change` [entries, length, out] added, by weight, on the routed rows.

    Rows that are not routed keep y's own bits.
    """
    change = change * routed.weights[:, None, None]
    rows, position = torch.unique(routed.rows, return_inverse=True)
    if len(rows) != len(routed.rows):
        summed = torch.zeros((len(rows), *change.shape[1:]), dtype=change.dtype, device=change.device)
        change = summed.index_add_(0, position, change)
    edited = y.clone()
    edited[rows] = y[rows] + change
    return edited
