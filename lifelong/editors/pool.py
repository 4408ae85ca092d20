"""Pools: low-rank experts that hold all facts together, trained whole, wave by wave from where the last one ended.

What the mixtures have in common. How much each expert of the pool acts on a row is the business of the method; here are
the experts' weights, the loop that trains them, and how a finished pool is handed over.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lifelong.editors import Dials, Lesson, Outcome, Wave, as_groups
from lifelong.editors.activations import UpperLayers
from lifelong.editors.parallel import Chunk, chunks_of
from lifelong.editors.shifting import Changed, measured
from lifelong.editors.state import State
from lifelong.editors.views import wave_rows
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank
from lifelong.experts.operators.rows import by_row
from lifelong.models.base import Base
from lifelong.models.sites import Site
from policies.recipe import Recipe


class DescentDials(Dials):
    """A wave takes at most `steps` of Adam at `rate`, each over all of its facts; fewer where every fact is right and
    under `stop_loss`."""

    steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 5e-3
    stop_loss: Annotated[float, Field(ge=0.0)] = 0.01


class Pool(nn.Module):
    """A [experts, rank, in], random by `seed`, and B [experts, out, rank], zero at first: no edit yet."""

    def __init__(self, site: Site, experts: int, rank: int, seed: int) -> None:
        super().__init__()
        self.site = site
        drawn = torch.randn(experts, rank, site.in_features, generator=torch.Generator().manual_seed(seed))
        self.a = nn.Parameter(drawn / math.sqrt(site.in_features))
        self.b = nn.Parameter(torch.zeros(experts, site.out_features, rank))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """What is added: x [rows, length, in], shares [rows, experts] -> [rows, length, out]."""
        inner = torch.einsum("blk,nrk->blnr", x, self.a) * shares[:, None, :, None]
        added: Tensor = torch.einsum("blnr,nor->blo", inner, self.b)
        return added

    @contextlib.contextmanager
    def adding(self, base: Base, shares: Tensor) -> Iterator[None]:
        """Within this block the site adds the experts by each row's shares [rows, experts], and the base is frozen."""

        def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
            x = by_row(inputs[0], len(shares)).float()
            return y + self.forward(x, shares).to(y.dtype).view(y.shape)

        with base.frozen():
            hook = base.model.get_submodule(self.site.path).register_forward_hook(add)
            try:
                yield
            finally:
                hook.remove()


def lesson_chunks(base: Base, upper: UpperLayers, lessons: Sequence[Lesson], recipe: Recipe) -> list[Chunk]:
    """The rows of lessons in chunks; `expert` of a chunk numbers the lesson of each row."""
    training = recipe.training
    rows = wave_rows(base, Wave(as_groups(lessons)), contexts=training.contexts, near_misses=training.near_misses)
    return list(chunks_of(base, upper, rows))


def descend(
    upper: UpperLayers,
    chunks: Sequence[Chunk],
    changed: Changed,
    parameters: Iterable[nn.Parameter],
    *,
    facts: int,
    recipe: Recipe,
    dials: DescentDials,
    steps: int,
    beside: Callable[[], Tensor] | None = None,
) -> tuple[Tensor, Tensor, int]:
    """Full-batch Adam; each fact's worst loss (nats a token), whether all its wordings were right, the steps taken.

    `beside` gives a loss of the method's own, added at each step.
    """
    optimiser = torch.optim.Adam(parameters, lr=dials.rate)
    for step in range(steps + 1):
        optimiser.zero_grad()
        loss, right = measured(upper, chunks, changed, facts, recipe.training.near_miss_weight)
        if step == steps or (bool(right.all()) and float(loss.max()) < dials.stop_loss):
            break
        if beside:
            beside().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return loss, right, step


def pooled_experts(
    base: Base,
    recipe: Recipe,
    factors: Mapping[str, tuple[Tensor, Tensor]],
    facts: Sequence[str],
    anchors: Mapping[str, Tensor] | None = None,
) -> list[Expert]:
    """The experts of a pool: `factors` by site path are A [experts, rank, in] and B [experts, out, rank].

    They hold their facts together; each is said to carry a share of them, so that all are kept. Where there are fewer
    facts than experts, one stands with several. `anchors` are the vectors of the facts.
    """
    dtype = torch.float16 if recipe.experts.dtype == "float16" else torch.float32
    rounded = {path: (a.detach().cpu().to(dtype), b.detach().cpu().to(dtype)) for path, (a, b) in factors.items()}
    count = len(next(iter(rounded.values()))[0])
    experts = []
    for place in range(count):
        own = tuple(facts[place::count]) or (facts[place % len(facts)],)
        tensors = {path: LowRank(a[place], b[place]) for path, (a, b) in rounded.items()}
        keys = torch.stack([anchors[fact] for fact in own]) if anchors else None
        experts.append(Expert(own, tensors, recipe.digest, base.fingerprint, anchors=keys))
    return experts


def pooled_outcomes(
    experts: Sequence[Expert], lessons: Sequence[Lesson], loss: Tensor, right: Tensor, taken: int
) -> dict[str, Outcome]:
    """How each lesson ended, by its digest, given what `descend` returned."""
    carrier = {fact: expert.hash for expert in experts for fact in expert.facts}
    return {
        lesson.digest: Outcome(carrier[lesson.digest], float(loss[i]), taken, bool(right[i]))
        for i, lesson in enumerate(lessons)
    }


def standing(state: State | None) -> tuple[str, ...]:
    """The hashes of the experts that a state stands for."""
    return tuple(str(one) for one in (state.meta or {}).get("experts", ())) if state else ()
