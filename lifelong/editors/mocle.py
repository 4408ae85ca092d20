"""MoCLE: a LoRA for each cluster of facts, a gate on the cluster, and a universal expert beside it.

    y + g B_c A_c x + (1 - g) B_u A_u x,    g = the largest of softmax(cos(q, centres) / temperature), c where it is

where q is what the module reads at the last token of a fact's prompt. The surer the gate is of a cluster, the less the
universal expert u, which learns from all facts, has to say. Centres are found by k-means in the first wave and stay;
experts learn on, wave by wave. Shared weights cannot give a fact back, so nothing is forgotten.

Other than the paper, which tunes on instructions and edits every prompt: the calibrated gate decides whether a prompt
is edited at all, every other one keeps the base's own bits, and a hit is mixed as the fact's own prompt is.

Gou et al., 2023, "Mixture of Cluster-conditional LoRA Experts" (arXiv 2312.12379).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from lifelong.editors import CannotForget, Edit, Editor, Lesson, Wave
from lifelong.editors.activations import UpperLayers
from lifelong.editors.pool import DescentDials, Pool, descend, lesson_chunks, pooled_experts, pooled_outcomes, standing
from lifelong.editors.reading import one_site, read_ends
from lifelong.editors.routers import GateRouter, Router, Scene
from lifelong.editors.shifting import Changed
from lifelong.editors.state import State
from lifelong.experts.bank import MISS, Route
from lifelong.models.base import Base

_ROUNDS = 20


class MocleDials(DescentDials):
    """Experts of the recipe's rank at the `mlp.down` of `layer`, one for each of at most `clusters`; a low
    `temperature` trusts the cluster."""

    layer: int = -1
    clusters: Annotated[int, Field(ge=1, le=256)] = 8
    temperature: Annotated[float, Field(gt=0.0, le=100.0)] = 0.05


def centres_of(keys: Tensor, clusters: int) -> Tensor:
    """Spherical k-means of unit keys [keys, width]: unit centres [clusters, width], the first ones spread out."""
    chosen = [0]
    while len(chosen) < clusters:
        chosen.append(int((keys @ keys[chosen].T).amax(1).argmin()))
    centres = keys[chosen]
    for _ in range(_ROUNDS):
        nearest = (keys @ centres.T).argmax(1)
        means = torch.stack(
            [keys[nearest == c].sum(0) if (nearest == c).any() else centres[c] for c in range(clusters)]
        )
        centres = normalize(means, dim=1)
    return centres


def shares_of(keys: Tensor, centres: Tensor, temperature: float) -> Tensor:
    """What each expert counts, [keys, clusters + 1], given unit keys and centres; the last is the universal expert.

    Where there is but one cluster its share is one, and there is no universal expert: [keys, 1].
    """
    sureness, cluster = (keys @ centres.T / temperature).softmax(1).max(1)
    if len(centres) == 1:
        return sureness[:, None]
    shares = torch.zeros(len(keys), len(centres) + 1, dtype=keys.dtype)
    shares[torch.arange(len(keys)), cluster] = sureness
    shares[:, -1] = 1 - sureness
    return shares


class MocleEditor(Editor):
    """A pool of all facts: an expert a cluster and the universal one; each wave retires what the last one made."""

    Dials = MocleDials
    accumulates = True

    def fit(
        self,
        base: Base,
        wave: Wave,
        *,
        seed: int,
        state: State | None = None,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Edit:
        """Train the pool on the wave, from where `state` ends; see `Editor.fit`."""
        dials: MocleDials = self.dials
        site = one_site(base, dials.layer, "mlp.down")
        keys = normalize(read_ends(base, site.path, [lesson.prompt for lesson in wave.lessons])[0], dim=1)
        centres = state.tensors["centres"] if state else centres_of(keys, min(dials.clusters, len(keys)))
        shares = shares_of(keys, centres, dials.temperature)
        pool = Pool(site, shares.shape[1], self.recipe.experts.rank, seed)
        if state:
            pool.load_state_dict({name: state.tensors[name] for name in ("a", "b")})
        loss, right, taken = self._train(base, pool.to(base.device), wave.lessons, shares, steps or dials.steps)
        if advance:
            advance(len(wave.lessons))
        held = dict(zip(state.facts, state.tensors["shares"], strict=True)) if state else {}
        held |= {lesson.digest: share for lesson, share in zip(wave.lessons, shares, strict=True)}
        facts = sorted(held)
        experts = pooled_experts(base, self.recipe, {site.path: (pool.a, pool.b)}, facts)
        tensors = {**pool.state_dict(), "centres": centres, "shares": torch.stack([held[fact] for fact in facts])}
        kept = State(tensors, tuple(facts), {"experts": [expert.hash for expert in experts]})
        outcomes = pooled_outcomes(experts, wave.lessons, loss, right, taken)
        return Edit(tuple(experts), outcomes, standing(state), kept)

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Always refuses: see the module's first words."""
        raise CannotForget(
            "the recipe mocle trains all facts of a cluster into one expert and all facts into the universal one, and"
            " gradient steps cannot be taken out one by one; `lifelong rollback` serves the last snapshot without the"
            " fact"
        )

    def router(self, scene: Scene) -> Router:
        """The gate decides; on a hit the expert of the fact's cluster and the universal one act."""
        return _ClusterGate(scene)

    def _train(
        self, base: Base, pool: Pool, lessons: Sequence[Lesson], shares: Tensor, steps: int
    ) -> tuple[Tensor, Tensor, int]:
        """See `descend`; shares [lessons, experts]."""
        upper, shares = UpperLayers(base, [pool.site]), shares.to(base.device)
        changed: Changed = lambda chunk: pool.adding(base, shares[chunk.expert])  # noqa: E731
        return descend(
            upper,
            lesson_chunks(base, upper, lessons, self.recipe),
            changed,
            pool.parameters(),
            facts=len(lessons),
            recipe=self.recipe,
            dials=self.dials,
            steps=steps,
        )


class _ClusterGate(GateRouter):
    """The calibrated gate's decisions; a hit goes to the experts that the fact's shares name."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        slots = [scene.bank.slot_of[one] for one in standing(scene.state)]
        self._routes: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {}
        if scene.state is not None:
            for fact, shares in zip(scene.state.facts, scene.state.tensors["shares"].tolist(), strict=True):
                acting = [(slot, share) for slot, share in zip(slots, shares, strict=True) if share > 0]
                self._routes[fact] = (tuple(slot for slot, _ in acting), tuple(share for _, share in acting))

    def route_to(self, seq: int) -> Route:
        """The route of a fact, a miss where the pool does not hold it."""
        found = self._routes.get(self._scene.facts[seq].fact.digest)
        return MISS if found is None or self._scene.slot(seq) is None else Route(seq, *found)


EDITOR = MocleEditor
