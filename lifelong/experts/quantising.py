"""The dtypes a low-rank expert may be stored in: floating point, or int8 with a scale for each rank.

int8 is symmetrical: a row of A and a column of B are each scaled so that their largest number becomes 127. Only the
product of the two scales ever counts, so one is stored for each rank. An expert is brought to its dtype before it is
named and audited: what is measured, hashed and served is what is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifelong.experts.kinds import LARGEST_INT8, LowRank, LowRankInt8

_TINY = torch.finfo(torch.float32).tiny


def stored_as(a: Tensor, b: Tensor, dtype: str) -> LowRank:
    """The factors A [rank, in] and B [out, rank] as an expert of that dtype of the recipe holds them, on the CPU."""
    if dtype == "int8":
        return _quantised(a.detach().float().cpu(), b.detach().float().cpu())
    kind = getattr(torch, dtype)
    return LowRank(a.detach().to(kind).cpu(), b.detach().to(kind).cpu())


def _quantised(a: Tensor, b: Tensor) -> LowRankInt8:
    of_a = a.abs().amax(1) / LARGEST_INT8
    of_b = b.abs().amax(0) / LARGEST_INT8
    return LowRankInt8(_whole(a, of_a[:, None]), _whole(b, of_b[None, :]), of_a * of_b)


def _whole(numbers: Tensor, scale: Tensor) -> Tensor:
    return (numbers / scale.clamp_min(_TINY)).round().clamp(-LARGEST_INT8, LARGEST_INT8).to(torch.int8).contiguous()
