"""The dtypes a low-rank expert may be stored in: floating point, or whole numbers with a scale for each rank.

int8 is symmetrical: a row of A and a column of B are each scaled so that their largest number becomes 127. Only the
product of the two scales ever counts, so one is stored for each rank. int4 keeps A so and B, three quarters of an
expert, in four bits, -7 to 7: each column is scaled as far as leaves it nearest to itself. An expert is brought to its
dtype before it is named and audited: what is measured, hashed and served is what is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifelong.experts.kinds import LARGEST_INT4, LARGEST_INT8, LowRank, LowRankInt4, LowRankInt8

_TINY = torch.finfo(torch.float32).tiny
_CUTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""What of a column's largest number is told apart; beyond it all are the same."""


def stored_as(a: Tensor, b: Tensor, dtype: str) -> LowRank:
    """The factors A [rank, in] and B [out, rank] as an expert of that dtype of the recipe holds them, on the CPU."""
    if dtype in _WHOLE:
        return _WHOLE[dtype](a.detach().float().cpu(), b.detach().float().cpu())
    kind = getattr(torch, dtype)
    return LowRank(a.detach().to(kind).cpu(), b.detach().to(kind).cpu())


def _int8(a: Tensor, b: Tensor) -> LowRankInt8:
    of_a = a.abs().amax(1) / LARGEST_INT8
    of_b = b.abs().amax(0) / LARGEST_INT8
    return LowRankInt8(_rounded(a, of_a[:, None], LARGEST_INT8), _rounded(b, of_b, LARGEST_INT8), of_a * of_b)


def _int4(a: Tensor, b: Tensor) -> LowRankInt8:
    """B in half bytes; in whole ones where it has an odd number of rows."""
    if len(b) % 2:
        return _int8(a, b)
    of_a = a.abs().amax(1) / LARGEST_INT8
    scales = b.abs().amax(0) / LARGEST_INT4 * torch.tensor(_CUTS)[:, None]
    errors = torch.stack([(_rounded(b, scale, LARGEST_INT4) * scale - b).square().sum(0) for scale in scales])
    of_b = scales.gather(0, errors.argmin(0, keepdim=True))[0]
    whole = LowRankInt8(_rounded(a, of_a[:, None], LARGEST_INT8), _rounded(b, of_b, LARGEST_INT4), of_a * of_b)
    return LowRankInt4.of(whole)


_WHOLE = {"int8": _int8, "int4": _int4}


def _rounded(numbers: Tensor, scale: Tensor, largest: int) -> Tensor:
    return (numbers / scale.clamp_min(_TINY)).round().clamp(-largest, largest).to(torch.int8).contiguous()
