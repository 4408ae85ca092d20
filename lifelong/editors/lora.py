"""Gradient LoRA, many experts at once.

Experts do not depend on each other: their low-rank factors stand in one stack, each row of a batch uses its
own expert's slice, the loss is summed over experts, and Adam works element by element, so one forward and
backward pass trains all of them exactly as if each were trained alone. An expert that answers all of its
wordings leaves the stack with the values it has.

LoRA: Hu et al., 2021 (arXiv 2106.09685); Adam: Kingma and Ba, 2014 (arXiv 1412.6980).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lifelong.editors import Edit, Editor, Lesson, Outcome, Wave
from lifelong.editors.parallel import Fitted, fit_stack
from lifelong.editors.regularisers import concatenated, rect_dense
from lifelong.editors.state import State
from lifelong.editors.views import wave_rows
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import Delta, LowRank, kind_of
from lifelong.experts.quantising import stored_as
from lifelong.models.base import Base
from lifelong.models.sites import find_sites


class LoraEditor(Editor):
    """The default editor: one stack of low-rank experts a wave."""

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
        """Train every expert of the wave; see `Editor.fit`."""
        dials = self.recipe.training
        sites = find_sites(base.model, self.recipe.experts.layers, self.recipe.experts.modules)
        informed = dials.lti_weight > 0
        rows = wave_rows(base, wave, contexts=dials.contexts, near_misses=dials.near_misses, informed=informed)
        if dials.saul_facts:
            rows += concatenated(base, wave, self.corpus.texts(base), dials.saul_facts)
        fitted = fit_stack(
            base,
            sites,
            rows,
            names=["\n".join(sorted(lesson.digest for lesson in group)) for group in wave.groups],
            ranks=self._ranks(base, wave, steps or dials.steps),
            dials=dials,
            steps=steps or dials.steps,
            seed=seed,
            begin={place: _factors(expert) for place, expert in enumerate(wave.begin) if expert},
            advance=lambda done: advance(sum(len(wave.groups[i]) for i in done)) if advance else None,
        )
        experts = [self._expert(base, group, fit) for group, fit in zip(wave.groups, fitted, strict=True)]
        outcomes = {
            lesson.digest: Outcome(expert.hash, fit.loss, fit.steps, fit.converged)
            for group, expert, fit in zip(wave.groups, experts, fitted, strict=True)
            for lesson in group
        }
        return Edit(tuple(experts), outcomes)

    def _ranks(self, base: Base, wave: Wave, steps: int) -> list[int]:
        """The rank of each expert: the recipe's, or less where the answers it is to give are few and short.

        A fact that is trained alone for more than the recipe's steps did not learn with less: there it is the recipe's.
        """
        dials, longer = self.recipe.experts, steps > self.recipe.training.steps

        def rank(group: tuple[Lesson, ...]) -> int:
            if not dials.rank_per_token or (longer and len(group) == 1):
                return dials.rank
            told = {tuple(base.answer_ids(one.prompt, one.target)) for one in group}
            return min(dials.rank, dials.rank_per_token * sum(map(len, told)))

        return [rank(group) for group in wave.groups]

    def _expert(self, base: Base, group: tuple[Lesson, ...], fit: Fitted) -> Expert:
        dtype = self.recipe.experts.dtype
        tensors: dict[str, Delta] = {site: stored_as(a, b, dtype) for site, (a, b) in fit.factors.items()}
        if (keep := self.recipe.training.rect_keep) < 1:
            whole = torch.float32 if dtype == "float32" else torch.float16
            low_rank = {site: LowRank(a.float().cpu(), b.float().cpu()) for site, (a, b) in fit.factors.items()}
            tensors = {site: rect_dense(base, site, one, keep, whole) for site, one in low_rank.items()}
        return Expert(
            facts=tuple(sorted(lesson.digest for lesson in group)),
            tensors=tensors,
            recipe=self.recipe.digest,
            base=base.fingerprint,
            kind=kind_of(next(iter(tensors.values()))),
        )


def _factors(expert: Expert) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of a low-rank expert by site path, float32."""
    floats = {site: delta.floats() for site, delta in expert.tensors.items() if isinstance(delta, LowRank)}
    return {site: (low_rank.a.float(), low_rank.b.float()) for site, low_rank in floats.items()}


EDITOR = LoraEditor
