"""The exact sum of low-rank deltas, and the best approximation of a smaller rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lifelong.experts.kinds import LowRank


def cat(parts: Sequence[LowRank]) -> LowRank:
    """The sum of all deltas: ranks stand one behind another."""
    return LowRank(torch.cat([part.a for part in parts]), torch.cat([part.b for part in parts], dim=1))


def padded(parts: Sequence[LowRank]) -> tuple[Tensor, Tensor]:
    """All A [experts, rank, in] and all B [experts, out, rank], the smaller padded with zero ranks."""
    rank = max(part.rank for part in parts)
    a = torch.stack([pad(part.a, (0, 0, 0, rank - part.rank)) for part in parts])
    return a, torch.stack([pad(part.b, (0, rank - part.rank)) for part in parts])


def truncated(delta: LowRank, rank: int) -> LowRank:
    """The delta of that rank which is nearest, in the Frobenius norm: its largest singular values.

    The matrix itself, [out, in], is never made: two thin QR factorisations leave one of rank x rank to decompose.
    """
    left, inner_left = torch.linalg.qr(delta.b)
    right, inner_right = torch.linalg.qr(delta.a.T)
    u, singular, v = torch.linalg.svd(inner_left @ inner_right.T, full_matrices=False)
    root = singular[:rank].sqrt()
    return LowRank((v[:rank] * root[:, None]) @ right.T, left @ (u[:, :rank] * root))
