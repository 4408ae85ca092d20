"""The low-rank operator: `y + B A x` on the rows that were routed to an expert.

Experts of different rank stand in one stack, the smaller padded with zero rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lifelong.experts.kinds import LowRank, LowRankInt8
from lifelong.experts.operators.rows import RowSlots


def stack_lowrank(parts: Sequence[LowRank], *, dtype: torch.dtype, device: torch.device) -> LowRank:
    """Join stacks [n_i, rank_i, in], [n_i, out, rank_i] into one, padded to the largest rank."""
    a, b = _joined(parts)
    return LowRank(a.to(device, dtype), b.to(device, dtype))


def stack_int8(parts: Sequence[LowRankInt8], *, dtype: torch.dtype, device: torch.device) -> LowRankInt8:
    """The same as they are stored: whole numbers and, whatever `dtype`, float32 scales: a quarter of floats."""
    a, b = _joined(parts)
    rank = a.shape[1]
    scale = torch.cat([pad(part.scale, (0, rank - part.rank)) for part in parts])
    return type(parts[0])(a.to(device), b.to(device), scale.to(device))


def _joined(parts: Sequence[LowRank]) -> tuple[Tensor, Tensor]:
    rank = max(part.rank for part in parts)
    a = torch.cat([pad(part.a, (0, 0, 0, rank - part.rank)) for part in parts])
    return a, torch.cat([pad(part.b, (0, rank - part.rank)) for part in parts])


def delta(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Per-row deltas: x [n, length, in], a [n, rank, in], b [n, out, rank] -> [n, length, out]."""
    return torch.bmm(torch.bmm(x, a.transpose(1, 2)), b.transpose(1, 2))


def change_lowrank(x: Tensor, y: Tensor, stack: LowRank, routed: RowSlots) -> Tensor:
    """What each entry adds: x [entries, length, in] -> [entries, length, out]; y, the site's output, is not read."""
    return delta(x, stack.a[routed.slots], stack.b[routed.slots])


def change_int8(x: Tensor, y: Tensor, stack: LowRankInt8, routed: RowSlots) -> Tensor:
    """The same of whole numbers: only the experts of this batch are turned into floats."""
    slots = routed.slots
    chosen = type(stack)(stack.a[slots], stack.b[slots], stack.scale[slots]).floats()
    return delta(x, chosen.a.to(x.dtype), chosen.b.to(x.dtype))
