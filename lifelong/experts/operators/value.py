"""The value operator: at the last position of the prompt, a stored vector instead of what the site puts out.

What is generated behind the prompt reads that position through the layers above; it is not replaced there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lifelong.experts.kinds import Value
from lifelong.experts.operators.rows import RowSlots


def stack_value(parts: Sequence[Value], *, dtype: torch.dtype, device: torch.device) -> Value:
    """Join stacks [n_i, out] into one."""
    return Value(torch.cat([part.v for part in parts]).to(device, dtype))


def change_value(x: Tensor, y: Tensor, stack: Value, routed: RowSlots) -> Tensor:
    """What each entry adds to y [entries, length, out]: the way from it to the value where its prompt ends."""
    change = torch.zeros_like(y)
    if routed.columns is not None:
        entries = torch.arange(len(routed.rows), device=y.device)
        change[entries, routed.columns] = stack.v[routed.slots] - y[entries, routed.columns]
    return change
