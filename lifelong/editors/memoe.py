"""MEMoE: a mixture of experts that bypasses one feed-forward layer, routed by the entity that a prompt is about.

The base stays frozen; all experts and their router learn each wave together, whole (batch editing), and wave by wave
from where the last one ended (sequential-batch editing). The knowledge anchor of a prompt is the mean embedding of the
tokens of its entity: of the lesson's subject, and in use of that of the fact that the gate names.

Other than the paper: whether a prompt enters the bypass at all is decided by the calibrated gate, so that every other
prompt keeps the base's own bits; and an expert is a low-rank matrix upon what the layer's last projection reads, behind
the layer's own non-linearity. Shared weights and router cannot give a fact back, so nothing is forgotten.

Wang and Li, 2024, "MEMoE: Enhancing Model Editing with Mixture of Experts Adaptors" (arXiv 2405.19086).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors import CannotForget, Edit, Editor, Lesson, Wave
from lifelong.editors.activations import UpperLayers
from lifelong.editors.mixture import AnchoredTokens, Mixture, even
from lifelong.editors.pool import DescentDials, descend, lesson_chunks, pooled_experts, pooled_outcomes, standing
from lifelong.editors.reading import one_site
from lifelong.editors.routers import GateRouter, Router, Scene
from lifelong.editors.shifting import Changed
from lifelong.editors.state import State
from lifelong.experts.bank import MISS, Route
from lifelong.experts.operators.rows import TokenGate
from lifelong.models.base import Base
from lifelong.models.sites import Site


class MemoeDials(DescentDials):
    """`experts` of the recipe's rank bypass `layer`, and `top` of them act on a token."""

    layer: int = -1
    experts: Annotated[int, Field(ge=1, le=256)] = 4
    top: Annotated[int, Field(ge=1, le=256)] = 2


class MemoeEditor(Editor):
    """A pool of experts of all facts; each wave retires what the last one made."""

    Dials = MemoeDials
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
        """Train the pool and its router on the wave, from where `state` ends; see `Editor.fit`."""
        dials: MemoeDials = self.dials
        site = one_site(base, dials.layer, "mlp.down")
        facts = sorted({*(state.facts if state else ()), *(lesson.digest for lesson in wave.lessons)})
        mixture = self._mixture(base, site, seed, state)
        loss, right, taken = self._train(base, site, mixture, wave.lessons, steps or dials.steps)
        if advance:
            advance(len(wave.lessons))
        experts = pooled_experts(base, self.recipe, {site.path: (mixture.a, mixture.b)}, facts)
        kept = State(mixture.state_dict(), tuple(facts), {"experts": [expert.hash for expert in experts]})
        outcomes = pooled_outcomes(experts, wave.lessons, loss, right, taken)
        return Edit(tuple(experts), outcomes, standing(state), kept)

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Always refuses: see the module's first words."""
        raise CannotForget(
            "the recipe memoe trains all facts into one pool of experts and one router, and gradient steps cannot be"
            " taken out one by one; `lifelong rollback` serves the last snapshot without the fact"
        )

    def router(self, scene: Scene) -> Router:
        """The gate decides; on a hit the whole pool acts, by what the anchor says of each expert."""
        return _AnchorRouter(scene)

    def token_gate(self, scene: Scene) -> TokenGate | None:
        """What each token adds to the anchor's word, and the `top` experts."""
        if scene.state is None:
            return None
        slots = torch.tensor([scene.bank.slot_of[one] for one in standing(scene.state)])
        return AnchoredTokens(slots, scene.state.tensors["by_token"].float(), self.dials.top)

    def _mixture(self, base: Base, site: Site, seed: int, state: State | None) -> Mixture:
        """The pool as the state has it."""
        width = base.model.get_input_embeddings().weight.shape[1]
        dials, rank = self.dials, self.recipe.experts.rank
        mixture = Mixture(site, dials.experts, rank, anchor=width, top=dials.top, seed=seed)
        if state is not None:
            mixture.load_state_dict({name: state.tensors[name] for name in mixture.state_dict()})
        return mixture.to(base.device)

    def _train(
        self, base: Base, site: Site, mixture: Mixture, lessons: Sequence[Lesson], steps: int
    ) -> tuple[Tensor, Tensor, int]:
        """See `descend`."""
        anchors = torch.stack([anchor(base, lesson.subject, lesson.prompt) for lesson in lessons])
        upper = UpperLayers(base, [site])
        changed: Changed = lambda chunk: mixture.adding(base, site, anchors[chunk.expert])  # noqa: E731
        return descend(
            upper,
            lesson_chunks(base, upper, lessons, self.recipe),
            changed,
            mixture.parameters(),
            facts=len(lessons),
            recipe=self.recipe,
            dials=self.dials,
            steps=steps,
        )


class _AnchorRouter(GateRouter):
    """The gate's decisions; a hit goes to every expert of the pool, weighed by the entity of its fact."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._slots = tuple(scene.bank.slot_of[one] for one in standing(scene.state))

    def route_to(self, seq: int) -> Route:
        """The route of a fact: exp(W_a a) of each expert, the largest being one."""
        scene = self._scene
        if scene.state is None or scene.slot(seq) is None:
            return MISS
        fact = scene.facts[seq].fact
        known = anchor(scene.base, fact.subject, fact.prompt)
        logits = scene.state.tensors["by_anchor"].float() @ even(known.float().cpu())
        return Route(seq, self._slots, tuple((logits - logits.max()).exp().tolist()))


def anchor(base: Base, subject: str | None, prompt: str) -> Tensor:
    """The knowledge anchor: the mean embedding of the subject's tokens, or else of the prompt's; [width]."""
    ids = torch.tensor(base.prompt_ids(subject or prompt), device=base.device)
    with torch.no_grad():
        found: Tensor = base.model.get_input_embeddings()(ids).float().mean(0)
    return found


EDITOR = MemoeEditor
