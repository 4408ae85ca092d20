"""ELDER against its paper: the mixture, the guided loss and the code, by numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifelong.editors.elder import allocation, codes, guided_loss, logits_of, mixing
from lifelong.editors.pool import Pool
from lifelong.experts.operators.rows import RowSlots
from lifelong.models.sites import Site

SITES, EXPERTS, TOP, WIDTH, RANK = 3, 4, 2, 5, 2
SITE = Site("mlp", 0, "mlp.down", 6, 4)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[0]).normal(size=shape)


def scores(query: np.ndarray, routers: np.ndarray) -> np.ndarray:
    """s of each module."""
    raised = np.exp(routers @ query)
    return raised / raised.sum(1, keepdims=True)


def logits(queries: np.ndarray, routers: np.ndarray) -> torch.Tensor:
    return logits_of(torch.from_numpy(queries), torch.from_numpy(routers))


@pytest.fixture
def queries() -> np.ndarray:
    return draw(7, WIDTH)


@pytest.fixture
def routers() -> np.ndarray:
    return draw(SITES, EXPERTS, WIDTH)


def test_a_prompt_takes_the_chosen_experts_by_their_softmax_over_all(queries: np.ndarray, routers: np.ndarray) -> None:
    """The scores of those not chosen are lost, not given to the others."""
    pool = Pool(SITE, EXPERTS, RANK, seed=0)
    torch.nn.init.normal_(pool.b, generator=torch.Generator().manual_seed(1))
    x = draw(2, 3, SITE.in_features)
    weights = mixing(logits(queries[:2], routers), TOP)[:, 0].float()
    found = pool(torch.from_numpy(x).float(), weights).detach().numpy()
    a, b = (part.detach().double().numpy() for part in (pool.a, pool.b))
    for row in range(2):
        s = scores(queries[row], routers)[0]
        best = np.argsort(-s)[:TOP]
        expected = sum(s[i] * x[row] @ a[i].T @ b[i].T for i in best)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_the_guided_loss_is_the_negative_log_of_what_was_allocated(queries: np.ndarray, routers: np.ndarray) -> None:
    allocated = torch.stack([allocation(f"target {i}", SITES, EXPERTS, TOP) for i in range(len(queries))])
    found = guided_loss(logits(queries, routers), allocated)
    expected = [-np.log(scores(q, routers)[own.numpy()]).sum() for q, own in zip(queries, allocated, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_equal_targets_have_one_allocation_and_others_mostly_not() -> None:
    drawn = [allocation(f"target {i}", SITES, EXPERTS, TOP) for i in range(20)]
    assert all(one.sum(1).tolist() == [TOP] * SITES for one in drawn)
    assert torch.equal(allocation(" Target  3", SITES, EXPERTS, TOP), drawn[3])
    assert len({tuple(one.flatten().tolist()) for one in drawn}) > 15


def test_a_code_has_a_bit_for_each_expert_chosen_and_its_distance_is_hammings(
    queries: np.ndarray, routers: np.ndarray
) -> None:
    found = codes(logits(queries, routers), TOP)
    expected = np.zeros((len(queries), SITES, EXPERTS))
    for row, query in enumerate(queries):
        for site, s in enumerate(scores(query, routers)):
            expected[row, site, np.argsort(-s)[:TOP]] = 1
    expected = expected.reshape(len(queries), -1)
    np.testing.assert_array_equal(found.numpy(), expected)
    hamming = (expected[:, None] != expected[None]).sum(-1)
    np.testing.assert_allclose(torch.cdist(found, found).numpy() ** 2, hamming, atol=1e-3)


def test_experts_act_at_each_site_by_the_weight_that_they_have_there() -> None:
    """Where it is nothing, they are not even computed."""
    rows, slots = torch.tensor([0, 0, 2]), torch.tensor([4, 5, 5])
    routed = RowSlots(rows, slots, torch.tensor([0.5, 0.5, 1.0]), by_site={"mlp": torch.tensor([0.0, 0.25, 0.75])})
    here, elsewhere = routed.expanded(2).at("mlp"), routed.at("attention")
    assert here.rows.tolist() == [0, 1, 4, 5] and here.slots.tolist() == [5, 5, 5, 5]
    assert here.weights.tolist() == [0.25, 0.25, 0.75, 0.75]
    assert elsewhere is routed
