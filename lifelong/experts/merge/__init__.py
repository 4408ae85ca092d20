"""Merging the factors of several low-rank experts into those of one, by arithmetic alone.

Each method gives what PEFT's `add_weighted_adapter` does with weights of one (`combination_type`): `cat`, `linear`,
`ties`, `dare_linear`, `dare_ties`; `mean` is `linear` with weights of 1/n². `cat` is exact, the sum of all deltas at
the sum of all ranks; the others mix A with A and B with B. Afterwards any of them may be cut to a smaller rank, by the
singular values of its delta.

TIES: Yadav et al., 2023 (arXiv 2306.01708). DARE: Yu et al., 2023 (arXiv 2311.03099).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lifelong.experts.kinds import LowRank
from lifelong.experts.merge.arithmetic import dare_linear, dare_ties, linear, mean, ties
from lifelong.experts.merge.exact import cat, padded, truncated

Mixed = Callable[[Tensor, float, torch.Generator], Tensor]

MIXES: dict[str, Mixed] = {
    "mean": mean,
    "linear": linear,
    "ties": ties,
    "dare_linear": dare_linear,
    "dare_ties": dare_ties,
}


def merged(method: str, parts: Sequence[LowRank], *, rank: int, density: float, seed: int) -> LowRank:
    """One delta, float32, of the deltas of several experts at one site; A [rank, in], B [out, rank].

    `rank` 0 keeps the rank the method gives. `density` is the share of numbers that TIES and DARE keep; DARE draws
    which, by `seed`.
    """
    floats = [LowRank(part.floats().a.float(), part.floats().b.float()) for part in parts]
    if method == "cat":
        whole = cat(floats)
    else:
        mix, draw = MIXES[method], torch.Generator().manual_seed(seed)
        a, b = padded(floats)
        whole = LowRank(mix(a, density, draw), mix(b, density, draw))
    return truncated(whole, rank) if 0 < rank < whole.rank else whole
