"""Merging by arithmetic gives what PEFT's own functions give; cut to a smaller rank, it is the nearest there is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lifelong.experts.kinds import LowRank
from lifelong.experts.merge import merged
from lifelong.experts.merge.exact import truncated
from lifelong.experts.quantising import stored_as

DENSITY = 0.5


def parts(*ranks: int) -> list[LowRank]:
    random = torch.Generator().manual_seed(len(ranks))
    return [LowRank(torch.randn(r, 12, generator=random), torch.randn(20, r, generator=random)) for r in ranks]


def delta(one: LowRank) -> Tensor:
    return one.b @ one.a


@pytest.mark.parametrize("method", ["mean", "linear", "ties", "dare_linear", "dare_ties"])
def test_it_is_the_mathematics_of_peft(method: str) -> None:
    from peft.utils import merge_utils

    plain = {"linear": merge_utils.task_arithmetic, "mean": merge_utils.task_arithmetic}
    theirs = plain.get(method) or getattr(merge_utils, method)
    experts, weights = parts(4, 4, 4), torch.full((3,), 1 / 3 if method == "mean" else 1.0)
    dials = () if method in plain else (DENSITY,)
    torch.manual_seed(5)
    a, b = (theirs([getattr(one, name) for one in experts], weights, *dials) for name in "ab")
    ours = merged(method, experts, rank=0, density=DENSITY, seed=5)
    torch.testing.assert_close(ours.a, a)
    torch.testing.assert_close(ours.b, b)


def test_cat_is_the_exact_sum_whatever_the_ranks() -> None:
    experts = parts(2, 4, 3)
    whole = merged("cat", experts, rank=0, density=DENSITY, seed=0)
    assert whole.rank == 9
    torch.testing.assert_close(delta(whole), sum(map(delta, experts)))


def test_truncation_leaves_the_largest_singular_values() -> None:
    experts = parts(4, 4)
    u, singular, v = torch.linalg.svd(sum(map(delta, experts), torch.zeros(20, 12)), full_matrices=False)
    best = u[:, :3] * singular[:3] @ v[:3]
    cut = merged("cat", experts, rank=3, density=DENSITY, seed=0)
    assert cut.rank == 3
    torch.testing.assert_close(delta(cut), best, atol=1e-4, rtol=1e-4)


def test_what_fits_is_not_changed_by_truncation() -> None:
    (one,) = parts(3)
    torch.testing.assert_close(delta(truncated(one, 3)), delta(one), atol=1e-4, rtol=1e-4)


def test_int8_experts_are_merged_as_the_deltas_they_are() -> None:
    small = [stored_as(one.a, one.b, "int8") for one in parts(4, 4)]
    whole = merged("cat", small, rank=0, density=DENSITY, seed=0)
    torch.testing.assert_close(delta(whole), sum(delta(one.floats()) for one in small))
