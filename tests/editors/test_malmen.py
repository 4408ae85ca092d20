"""MALMEN against its paper: the normal equation and the gradients through it, by numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from editlog.errors import UsageError
from lifelong.editors import hypernetwork
from lifelong.editors.hypernetwork import Hypernetwork, normal_equation
from lifelong.editors.malmen import batch_by_batch
from lifelong.editors.metatraining import made_edits

WIDTH_IN, WIDTH_OUT = 6, 4


def drawn(tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys K [in, tokens] and differences D [out, tokens], as the paper writes them."""
    random = np.random.default_rng(tokens)
    return random.normal(size=(WIDTH_IN, tokens)), random.normal(size=(WIDTH_OUT, tokens))


@pytest.mark.parametrize("tokens", [3, 9], ids=["fewer tokens than inputs", "more tokens than inputs"])
def test_the_shift_is_the_normal_equation_of_the_paper(tokens: int) -> None:
    k, d = drawn(tokens)
    expected = d @ k.T @ np.linalg.inv(k @ k.T + 0.3 * np.eye(WIDTH_IN))
    found = normal_equation(torch.from_numpy(k.T), torch.from_numpy(d.T), torch.tensor(0.3, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_batch_after_batch_solves_for_what_is_still_missing_and_one_batch_for_all_at_once() -> None:
    k, d = drawn(9)
    ridge = torch.tensor(0.3, dtype=torch.float64)
    pairs = torch.from_numpy(k.T), torch.from_numpy(d.T)

    def solved(k: np.ndarray, d: np.ndarray) -> np.ndarray:
        return d @ k.T @ np.linalg.inv(k @ k.T + 0.3 * np.eye(WIDTH_IN))

    first = solved(k[:, :4], d[:, :4])
    expected = first + solved(k[:, 4:], d[:, 4:] - first @ k[:, 4:])
    found = batch_by_batch(*pairs, torch.tensor([0] * 4 + [1] * 5), ridge)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    whole = batch_by_batch(*pairs, torch.zeros(9, dtype=torch.long), ridge)
    torch.testing.assert_close(whole, normal_equation(*pairs, ridge))


def test_gradients_go_through_the_equation_as_the_paper_derives_them() -> None:
    """∂L/∂D = ∂L/∂S (K Kᵀ + λI)⁻¹ K, and ∂L/∂λ = -⟨∂L/∂S, S (K Kᵀ + λI)⁻¹⟩."""
    k, d = drawn(9)
    by_shift = np.random.default_rng(1).normal(size=(WIDTH_OUT, WIDTH_IN))
    inverse = np.linalg.inv(k @ k.T + 0.3 * np.eye(WIDTH_IN))
    differences = torch.from_numpy(d.T.copy()).requires_grad_()
    ridge = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    normal_equation(torch.from_numpy(k.T), differences, ridge).backward(torch.from_numpy(by_shift))
    assert differences.grad is not None
    assert ridge.grad is not None
    np.testing.assert_allclose(differences.grad.numpy(), (by_shift @ inverse @ k).T, rtol=1e-9)
    np.testing.assert_allclose(ridge.grad.numpy(), -(by_shift * (d @ k.T @ inverse @ inverse)).sum(), rtol=1e-9)


def test_an_untrained_network_asks_for_a_step_down_the_gradient() -> None:
    """Before it has learned, k̃ and g̃ are the normalised pair, and d = -η ⟨k̃, k⟩ g̃."""
    keys, gradients = (torch.from_numpy(part.T.copy()).float() for part in drawn(9))
    network = Hypernetwork(WIDTH_IN, WIDTH_OUT, rank=2, blocks=2)
    network.start(keys, gradients, size=2.0, rate=0.5, ridge=0.1)
    k, g = keys.double().numpy(), gradients.double().numpy()
    answers = ((k - k.mean(0)) / k.std(0) * k).sum(1, keepdims=True)
    raw = -answers * (g - g.mean(0)) / g.std(0)
    expected = raw * 0.5 * 2.0 / np.sqrt((raw**2).mean())
    np.testing.assert_allclose(network.differences(keys, gradients).numpy(), expected, rtol=1e-4, atol=1e-6)
    assert float(network.ridge.detach().exp()) == pytest.approx(0.1 * (k**2).sum(1).mean(), rel=1e-5)


def test_slices_of_tokens_teach_as_much_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, gradients = (torch.from_numpy(part.T.copy()).float() for part in drawn(9))
    learned = []
    for at_once in (2, 100):
        monkeypatch.setattr(hypernetwork, "TOKENS_AT_ONCE", at_once)
        network = Hypernetwork(WIDTH_IN, WIDTH_OUT, rank=2, blocks=1)
        network.learn(keys, gradients, torch.ones_like(gradients))
        learned.append([p.grad for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-5)


def test_edits_are_made_of_text_and_too_little_is_refused() -> None:
    texts = [f"text {word} begins like this and ends {word}" for word in ("one", "two", "three", "four")]
    first = made_edits(texts)[0]
    assert (first.prompt, first.target) == ("text one begins like this and", "ends two")
    assert first.near_misses == ("text three begins like this and",)
    assert made_edits([f"never ends {'e' * 200} and goes on", *texts]) == made_edits(texts)
    with pytest.raises(UsageError, match="--corpus"):
        made_edits(texts[:3])
