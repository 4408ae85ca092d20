"""The dense operator: `y + W x` on the rows that were routed to an expert.

A dense delta is as large as the weight it stands beside, so a batch is multiplied slot by slot and no matrix is
ever copied for a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from lifelong.experts.kinds import Dense
from lifelong.experts.operators.rows import RowSlots


def stack_dense(parts: Sequence[Dense], *, dtype: torch.dtype, device: torch.device) -> Dense:
    """Join stacks [n_i, out, in] into one."""
    return Dense(torch.cat([part.w for part in parts]).to(device, dtype))


def change_dense(x: Tensor, y: Tensor, stack: Dense, routed: RowSlots) -> Tensor:
    """What each entry adds: x [entries, length, in] -> [entries, length, out]; y, the site's output, is not read."""
    slots = sorted(set(routed.slots.tolist()))
    if len(slots) == 1:
        return linear(x, stack.w[slots[0]])
    change = torch.empty_like(y)
    for slot in slots:
        entries = (routed.slots == slot).nonzero().squeeze(1)
        change[entries] = linear(x[entries], stack.w[slot])
    return change
