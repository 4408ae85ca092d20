"""Continual LoRA: one low-rank delta, always on, that every wave trains further.

What a team gets that fine-tunes an adapter night after night: no router, no code book, and what was learnt first is
overwritten by what came last. Gradient steps on shared weights cannot be taken out one by one, so nothing is forgotten
exactly.

LoRA: Hu et al., 2021 (arXiv 2106.09685); as a lifelong comparator: GRACE, WISE and ELDER's papers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lifelong.editors import CannotForget, Edit, Editor, Outcome, Wave
from lifelong.editors.activations import UpperLayers
from lifelong.editors.factors import FactorStack
from lifelong.editors.parallel import IGNORED, answer_loss, chunks_of
from lifelong.editors.pool import DescentDials
from lifelong.editors.routers import AlwaysOn, Router, Scene
from lifelong.editors.state import State
from lifelong.editors.views import wave_rows
from lifelong.experts.expert import ALWAYS, Expert
from lifelong.experts.kinds import LowRank
from lifelong.models.base import Base
from lifelong.models.sites import Site, find_sites
from policies.recipe import Training

_NAME = "continual"


class ContinualEditor(Editor):
    """One expert of all facts; each wave retires the last one's."""

    Dials = DescentDials
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
        """Train the delta of `state` (at first: random A, B of zeros) on the wave; see `Editor.fit`."""
        dials: DescentDials = self.dials
        shape = self.recipe.experts
        sites = find_sites(base.model, shape.layers, shape.modules)
        stack = FactorStack(base, sites, [_NAME], shape.rank, seed)
        if state is not None:
            stack.load([(state.tensors[f"{site.path}/a"], state.tensors[f"{site.path}/b"]) for site in sites])
        with base.frozen():
            loss, right, taken = self._train(base, wave, sites, stack, steps or dials.steps)
        if advance:
            advance(len(wave.lessons))
        factors = {site: LowRank(a.float().cpu(), b.float().cpu()) for site, (a, b) in stack.of(0).items()}
        before = state.facts if state else ()
        facts = tuple(sorted({*before, *(lesson.digest for lesson in wave.lessons)}))
        dtype = torch.float16 if shape.dtype == "float16" else torch.float32
        rounded = {site: LowRank(delta.a.to(dtype), delta.b.to(dtype)) for site, delta in factors.items()}
        expert = Expert(facts, rounded, self.recipe.digest, base.fingerprint, anchors=ALWAYS)
        retires = (str((state.meta or {})["expert"]),) if state else ()
        tensors = {f"{site}/{part}": tensor for site, delta in factors.items() for part, tensor in delta.parts.items()}
        outcomes = {
            lesson.digest: Outcome(expert.hash, float(loss[i]), taken, bool(right[i]))
            for i, lesson in enumerate(wave.lessons)
        }
        return Edit((expert,), outcomes, retires, State(tensors, facts, {"expert": expert.hash}))

    def _train(
        self, base: Base, wave: Wave, sites: list[Site], stack: FactorStack, steps: int
    ) -> tuple[Tensor, Tensor, int]:
        """Full-batch Adam; the mean loss of each lesson's wordings, whether all were right, and the steps taken."""
        dials: DescentDials = self.dials
        alone = Wave(tuple((lesson,) for lesson in wave.lessons))
        rows = wave_rows(base, alone, contexts=self.recipe.training.contexts, near_misses=0)
        upper = UpperLayers(base, sites)
        chunks = list(chunks_of(base, upper, rows))
        count = len(alone.groups)
        rates = Training(key_rate=dials.rate, value_rate=dials.rate)
        weights = torch.zeros(count, device=base.device)
        for chunk in chunks:
            weights.index_add_(0, chunk.expert, torch.ones_like(chunk.expert, dtype=weights.dtype))
        for step in range(steps + 1):
            loss = torch.zeros(count, device=base.device)
            right = torch.ones(count, dtype=torch.bool, device=base.device)
            stack.zero_gradients()
            for chunk in chunks:
                assert chunk.targets is not None
                with stack.adding(torch.zeros_like(chunk.expert)):
                    logits = upper.forward_at(chunk.stored, chunk.targets != IGNORED).float()
                of_row, correct = answer_loss(logits, chunk.targets)
                (of_row / weights[chunk.expert]).sum().div(count).backward()  # type: ignore[no-untyped-call]
                loss.index_add_(0, chunk.expert, of_row.detach() / weights[chunk.expert])
                right[chunk.expert[~correct]] = False
            if step == steps or (bool(right.all()) and float(loss.max()) < dials.stop_loss):
                break
            stack.step(rates, progress=0.0)
        return loss, right, step

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Always refuses: see the module's first words."""
        raise CannotForget(
            "the recipe lora trains all facts into the same weights, and gradient steps cannot be taken out one by one;"
            " `lifelong rollback` serves the last snapshot without the fact, or start a workspace with another recipe"
        )

    def router(self, scene: Scene) -> Router:
        """Always on."""
        return AlwaysOn(scene)


EDITOR = ContinualEditor
