"""LEMoE: one bypass expert for each incoming batch, the earlier ones frozen, the best one found by key-value anchors.

An expert bypasses one feed-forward layer and is inserted for a mini-batch, which the recipe's grouping plans by
k-means, so that facts alike come together. The value of a prompt is v = W_up SiLU(W_down e), where e is the mean of
its input embeddings; each expert has a key, and of a hit the expert with the largest logit alone acts (top-1).

Other than the paper: the projections are drawn once and never trained, and a key starts in closed form, as the
discriminant of the batch's mean value against the values of ordinary text, before it is trained with those of its wave
until each wording's own expert has the largest logit. So an earlier expert is truly frozen, and none has to be trained
again where another goes. And whether a prompt is in the scope of any edit is decided by the calibrated gate, so that
every other prompt keeps the base's own bits.

Wang and Li, 2024, "LEMoE: Advanced Mixture of Experts Adaptor for Lifelong Model Editing" (arXiv 2406.20030).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, silu

from lifelong.editors import Dials, Wave
from lifelong.editors.keyed import KeyedEditor
from lifelong.editors.preparation import prepared
from lifelong.editors.routers import GateRouter, Routed, Router, Scene, key_of
from lifelong.editors.state import State
from lifelong.models.base import Base

_SEED = 0
_RATE = 1e-2
"""Of a key's root mean square, a step."""
_RIDGE = 0.1
"""Of the mean variance: widths in which ordinary text hardly differs must not decide."""


class LemoeDials(Dials):
    """`inner` is how many widths W_down leaves; the keys of a wave take at most `key_steps` of Adam."""

    inner: Annotated[int, Field(ge=1, le=16384)] = 256
    key_steps: Annotated[int, Field(ge=0, le=10_000)] = 200


def projected(pooled: Tensor, inner: int) -> Tensor:
    """v [prompts, width] of embeddings e [prompts, width], float32; W_down and W_up are drawn with one seed."""
    width = pooled.shape[1]
    generator = torch.Generator().manual_seed(_SEED)
    down = torch.randn(inner, width, generator=generator) / math.sqrt(width)
    up = torch.randn(width, inner, generator=generator) / math.sqrt(inner)
    even = pooled / pooled.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
    return silu(even @ down.T) @ up.T


def discriminant(mean: Tensor, ordinary: Tensor, covariance: Tensor) -> Tensor:
    """A key and its bias, float32 [width + 1], of a batch's mean value, that of ordinary text and its covariance.

    k = Σ⁻¹ (m - μ) and b = -k·(m + μ) / 2: the logit k·v + b is that of the batch against ordinary text where both
    spread alike, so that softmax over such logits is the posterior of the experts.
    """
    wide = covariance.double()
    wide = wide + _RIDGE * wide.diagonal().mean() * torch.eye(len(wide), dtype=wide.dtype)
    key = torch.linalg.solve(wide, (mean - ordinary).double())
    bias = -(key @ (mean + ordinary).double()) / 2
    return torch.cat([key, bias[None]]).float()


def trained_keys(keys: Tensor, values: Tensor, own: Tensor, steps: int) -> Tensor:
    """Keys [experts, width + 1] after at most `steps` of Adam on the cross-entropy of values [wordings, width] with
    their own experts, int64 [wordings]; they stay as they are once each value's own has the largest logit."""
    start = keys.square().mean().sqrt()
    known = torch.cat([values, torch.ones(len(values), 1)], 1)
    moved = keys.clone().requires_grad_()
    optimiser = torch.optim.Adam([moved], lr=_RATE * float(start))
    for _ in range(steps):
        logits = known @ moved.T
        if bool((logits.argmax(1) == own).all()):
            break
        optimiser.zero_grad()
        cross_entropy(logits, own).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return moved.detach()


class LemoeEditor(KeyedEditor):
    """Low-rank experts as the default recipe trains them, one a mini-batch, each with its key."""

    Dials = LemoeDials

    def keys(self, base: Base, wave: Wave) -> Tensor:
        """The key of each lesson's expert."""
        sizes = torch.tensor([len(group) for group in wave.groups])
        return self._group_keys(base, wave).repeat_interleave(sizes, 0)

    def router(self, scene: Scene) -> Router:
        """The gate says whether, the keys say which."""
        return _LargestLogit(scene, lambda prompts: projected(pooled(scene.base, prompts), self.dials.inner))

    def _group_keys(self, base: Base, wave: Wave) -> Tensor:
        """The key of each group's expert, with its bias, float32 [experts, width + 1]."""
        told = self._ordinary(base)
        wordings = [[wording for lesson in group for wording in lesson.wordings] for group in wave.groups]
        values = [projected(pooled(base, own), self.dials.inner) for own in wordings]
        mean, covariance = told.tensors["mean"], told.tensors["covariance"]
        keys = torch.stack([discriminant(of_group.mean(0), mean, covariance) for of_group in values])
        own = torch.arange(len(values)).repeat_interleave(torch.tensor([len(of_group) for of_group in values]))
        return trained_keys(keys, torch.cat(values), own, self.dials.key_steps)

    def _ordinary(self, base: Base) -> State:
        """Mean and covariance of the values of ordinary text, from the cache where they are there."""
        inner = self.dials.inner

        def learn(texts: list[str]) -> State:
            values = projected(pooled(base, texts), inner).double()
            mean = values.mean(0)
            spread = (values - mean).T @ (values - mean) / len(values)
            return State({"mean": mean.float(), "covariance": spread.float()})

        return prepared(base, self.corpus, what="lemoe", dials={"inner": inner, "seed": _SEED}, learn=learn)


class _LargestLogit(GateRouter):
    """The gate's hits, each to the expert whose key gives its value the largest logit."""

    def __init__(self, scene: Scene, value: Callable[[Sequence[str]], Tensor]) -> None:
        super().__init__(scene)
        self._value = value
        self._keys: dict[int, Tensor] = {}
        for seq, served in sorted(scene.facts.items()):
            slot = scene.slot(seq)
            if slot is not None:
                self._keys[slot] = key_of(scene.bank, served)

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """What the gate says of each prompt, with the expert that the keys choose."""
        routed = super().route(prompts, at=at)
        hits = [place for place, one in enumerate(routed) if one.route.slots]
        if hits:
            slots, keys = list(self._keys), torch.stack(list(self._keys.values()))
            values = self._value([prompts[place] for place in hits])
            chosen = (values @ keys[:, :-1].T + keys[:, -1]).argmax(1).tolist()
            for place, best in zip(hits, chosen, strict=True):
                one = routed[place]
                routed[place] = one._replace(route=one.route._replace(slots=(slots[best],)))
        return routed


@torch.no_grad()
def pooled(base: Base, texts: Sequence[str]) -> Tensor:
    """e: the mean of each text's input embeddings, float32 [texts, width], on the CPU."""
    table = base.model.get_input_embeddings()
    means = [table(torch.tensor(base.prompt_ids(text), device=base.device)).float().mean(0).cpu() for text in texts]
    return torch.stack(means)


EDITOR = LemoeEditor
