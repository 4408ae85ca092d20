"""The closed forms against their papers' equations, computed by numpy in float64 on a case small enough to read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifelong.editors import editor_of
from lifelong.editors.closed import ClosedFormEditor
from lifelong.editors.coachhook import z_scores
from lifelong.editors.covariance import Definite
from policies.recipe import Recipe

WIDTH_IN, WIDTH_OUT, FACTS = 6, 4, 3


def editor(name: str, **dials: float) -> ClosedFormEditor:
    made = editor_of(Recipe(name=name, editor=name, method=dials))
    assert isinstance(made, ClosedFormEditor)
    return made


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance C [in, in], keys K [in, facts] and residuals R [out, facts], as the papers write them."""
    random = np.random.default_rng(0)
    text = random.normal(size=(WIDTH_IN, 50))
    return text @ text.T / 50, random.normal(size=(WIDTH_IN, FACTS)), random.normal(size=(WIDTH_OUT, FACTS))


def solved(made: ClosedFormEditor, c: np.ndarray, k: np.ndarray, r: np.ndarray) -> np.ndarray:
    covariance, keys, residuals = (torch.from_numpy(x.copy()) for x in (c, k.T, r.T))
    return made.solve(Definite(covariance), keys, residuals).numpy()


def test_rome_is_the_rank_one_update_of_its_paper(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    c, k, r = case[0], case[1][:, :1], case[2][:, :1]
    u = np.linalg.inv(c) @ k
    np.testing.assert_allclose(solved(editor("rome"), c, k, r), (r / (u.T @ k)) @ u.T, rtol=1e-9)


@pytest.mark.parametrize("facts", [FACTS, 9], ids=["fewer facts than inputs", "more facts than inputs"])
def test_memit_is_the_least_squares_solution_of_its_paper(case: tuple[np.ndarray, ...], facts: int) -> None:
    random, c, preserve = np.random.default_rng(1), case[0], 7.0
    k, r = random.normal(size=(WIDTH_IN, facts)), random.normal(size=(WIDTH_OUT, facts))
    expected = r @ k.T @ np.linalg.inv(preserve * c + k @ k.T)
    np.testing.assert_allclose(solved(editor("memit", preserve=preserve), c, k, r), expected, rtol=1e-9)


def test_emmet_maps_every_key_to_its_residual_at_least_cost(case: tuple[np.ndarray, ...]) -> None:
    c, k, r = case
    expected = r @ np.linalg.inv(k.T @ np.linalg.inv(c) @ k) @ k.T @ np.linalg.inv(c)
    found = solved(editor("emmet", ridge=0.0), c, k, r)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(found @ k, r, rtol=1e-9)


def test_emmet_of_one_fact_is_rome(case: tuple[np.ndarray, ...]) -> None:
    c, k, r = case[0], case[1][:, :1], case[2][:, :1]
    np.testing.assert_allclose(solved(editor("emmet", ridge=0.0), c, k, r), solved(editor("rome"), c, k, r), rtol=1e-9)


def test_coachhook_of_consecutive_batches_is_one_batch_of_all(case: tuple[np.ndarray, ...]) -> None:
    """The paper's accumulated system, solved batch after batch, and numpy's solution of everything at once."""
    c, k, r = case
    made, preserve = editor("coachhook", preserve=7.0), 7.0
    covariance, keys, residuals = (torch.from_numpy(x.copy()) for x in (c, k.T, r.T))
    ordinary, delta = Definite(covariance), torch.zeros(WIDTH_OUT, WIDTH_IN, dtype=torch.float64)
    for place in range(FACTS):
        batch = slice(place, place + 1)
        missing = residuals[batch] - keys[batch] @ delta.T
        delta += made.solve(ordinary, keys[batch], missing)
        ordinary = made.behind(ordinary, keys[batch])
    np.testing.assert_allclose(delta.numpy(), r @ k.T @ np.linalg.inv(preserve * c + k @ k.T), rtol=1e-9)


def test_a_token_stands_out_by_the_deviations_of_ordinary_ones() -> None:
    ordinary = np.array([1.0, 2.0, 3.0, 6.0])
    norms = np.array([3.0, 8.0])
    found = z_scores(torch.from_numpy(norms), torch.from_numpy(ordinary)).numpy()
    np.testing.assert_allclose(found, (norms - ordinary.mean()) / ordinary.std(), rtol=1e-9)
