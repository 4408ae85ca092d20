"""SCEN: a light expert for each fact, and an indexing neuron that switches it on.

Stage one trains the expert. Stage two trains its neuron, a vector w whose activation is the sigmoid s(w.x) of what a
module reads at the prompt's last token, to be on at the fact, x, and off at other facts, z, drawn from history. A
prompt goes to the expert whose neuron is most active, if that reaches the threshold t; it is decided once a request.

Other than the published code: an expert is low-rank, not a copy of the whole matrix, and nothing is loaded from disk in
the middle of a request. The paper's loss, exp(-s(w.x)) and exp(s(w.z)) with random z, leaves neurons on: steps of Adam
saturate the sigmoid before they turn w, and one near z counts no more than many far ones. So the negatives are the
hardest of the history, the nearest to x, and the loss is a margin in the logit, whose minimum is found exactly:

    |w|^2 / 2 + C ([l + m - w.x]+ + sum over z of [w.z - l + m]+),    l = log(t / (1 - t))

What is kept of a fact is its x alone; neurons follow from the facts that are served, so a fact that is taken back
leaves nothing behind in the neurons of others. A few plain sentences are negatives too, for want of a history at first;
activations are taken from the mean of all these and brought to one length, since what prompts have in common tells no
fact from another.

Yao et al., 2024, "Scalable Model Editing via Customized Expert Networks" (arXiv 2404.02699).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from lifelong.editors import Dials, Wave
from lifelong.editors.keyed import KeyedEditor
from lifelong.editors.reading import one_site, read_ends
from lifelong.editors.routers import NearestKey, Router, Scene
from lifelong.editors.views import LEAD_INS
from lifelong.models.base import Base
from lifelong.snapshots.serving import Served

_COST = 100.0
"""C: what cannot be told apart, such as two facts that end alike, must not make a neuron grow without bound."""
_AT_ONCE = 1024
_TINY = 1e-9


class ScenDials(Dials):
    """`layer` and `module`: what neurons read. `sweeps` over the `negatives` nearest other facts find a neuron; an
    expert acts where its activation reaches `threshold`, and `margin` is how far off it the logits are to be."""

    layer: int = -2
    module: str = "mlp.down"
    sweeps: Annotated[int, Field(ge=1, le=10_000)] = 50
    negatives: Annotated[int, Field(ge=0, le=4096)] = 32
    margin: Annotated[float, Field(gt=0.0, le=10.0)] = 0.4
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.65


@torch.no_grad()
def neurons(keys: Tensor, background: Tensor, dials: ScenDials) -> Tensor:
    """A neuron for each key [keys, width]; `background` [plain, width] are negatives of all. All have one length."""
    history = torch.cat([keys, background])
    count = min(dials.negatives, len(history) - 1)
    found = []
    for start in range(0, len(keys), _AT_ONCE):
        own = keys[start : start + _AT_ONCE]
        near = own @ history.T
        near[torch.arange(len(own)), start + torch.arange(len(own))] = -torch.inf
        hardest = history[near.topk(count, 1).indices]
        found.append(widest_margin(torch.cat([own[:, None], hardest], 1), dials))
    return torch.cat(found) if found else keys


def widest_margin(examples: Tensor, dials: ScenDials) -> Tensor:
    """The neuron of each row of examples [neurons, 1 + negatives, width], the first of which is its own.

    Coordinate ascent in the dual of the module's loss (Hildreth, 1957): w is a sum of the examples, each as much as its
    own constraint still asks for.
    """
    logit = math.log(dials.threshold / (1 - dials.threshold))
    sign = -torch.ones(examples.shape[1])
    wanted = torch.full_like(sign, dials.margin - logit)
    sign[0], wanted[0] = 1.0, dials.margin + logit
    signed = examples * sign[:, None]
    products = signed @ signed.mT
    sizes = products.diagonal(dim1=1, dim2=2).clamp_min(_TINY)
    weights = torch.zeros(examples.shape[:2], dtype=examples.dtype)
    for _ in range(dials.sweeps):
        for place in range(examples.shape[1]):
            short = wanted[place] - (products[:, place] * weights).sum(1)
            weights[:, place] = (weights[:, place] + short / sizes[:, place]).clamp(0, _COST)
    return (weights[:, None] @ signed).squeeze(1)


class ScenEditor(KeyedEditor):
    """Experts as the default recipe trains them, what their neurons are to be on for in their anchors."""

    Dials = ScenDials

    def keys(self, base: Base, wave: Wave) -> Tensor:
        """What stage two needs of each fact: x."""
        return self._read(base, [lesson.prompt for lesson in wave.lessons])

    def _read(self, base: Base, prompts: Sequence[str]) -> Tensor:
        """What neurons read of each prompt, float32 [prompts, width]."""
        dials: ScenDials = self.dials
        return read_ends(base, one_site(base, dials.layer, dials.module).path, prompts)[0]

    def router(self, scene: Scene) -> Router:
        """The most active neuron, where it is active enough."""
        background = self._read(scene.base, LEAD_INS)
        return _IndexRouter(scene, lambda prompts: self._read(scene.base, prompts), background, self.dials)


class _IndexRouter(NearestKey):
    """Keys are turned into neurons; a prompt is as far from one as that falls short of full activation."""

    def __init__(
        self, scene: Scene, query: Callable[[Sequence[str]], Tensor], background: Tensor, dials: ScenDials
    ) -> None:
        self._neurons = torch.zeros(0, background.shape[1])
        self._middle = background.mean(0)

        def reach(facts: Sequence[Served], keys: Tensor) -> Tensor:
            self._middle = torch.cat([keys, background]).mean(0)
            plain = normalize(background - self._middle, dim=1)
            self._neurons = neurons(normalize(keys - self._middle, dim=1), plain, dials)
            return torch.full((len(keys),), 1 - dials.threshold)

        super().__init__(scene, query, reach)

    def _nearest(self, queries: Tensor, valid: Tensor) -> list[tuple[int, float]]:
        short = 1 - torch.sigmoid(normalize(queries - self._middle, dim=1) @ self._neurons.T)
        short[:, ~valid] = torch.inf
        places = short.shape[1] - 1 - short.flip(1).argmin(1)
        return [(place, float(short[row, place])) for row, place in enumerate(places.tolist())]


EDITOR = ScenEditor
