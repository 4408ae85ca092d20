"""LTE: notes as EREN has them, read by a model that a LoRA was aligned, once per base, to obey.

The alignment learns from what texts say (`lifelong.editors.drill`): behind a note that contradicts what the base would
say, to say what the note says; behind a note about something else, to say what the base says by itself. It acts on the
rows that a note is read for, and on no other: without a relevant note the base's own logits stand, bit for bit.

Other than the published method, which is aligned for notes in and out of scope and used on every prompt: what the gate
does not let in goes to the unaligned base (as in KEDAS), and what the base's own judgement finds irrelevant does too.

Jiang et al., 2024, "Learning to Edit: Aligning LLMs with Knowledge Editing" (arXiv 2402.11905).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field

from lifelong.editors import Wave, as_groups
from lifelong.editors.continual import ContinualEditor
from lifelong.editors.drill import Drill, drill
from lifelong.editors.eren import ErenDials, ErenEditor
from lifelong.editors.preparation import prepared
from lifelong.editors.state import State
from lifelong.experts.expert import ALWAYS, Expert
from lifelong.experts.kinds import LowRank
from lifelong.models.base import Base


class LteDials(ErenDials):
    """The alignment learns `rounds` times from `lessons` lessons each, at most `steps` steps of Adam at `rate`."""

    rounds: Annotated[int, Field(ge=1, le=1000)] = 4
    lessons: Annotated[int, Field(ge=2, le=16384)] = 64
    steps: Annotated[int, Field(ge=1, le=10_000)] = 10
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3


class LteEditor(ErenEditor):
    """Notes as ErenEditor writes them, and one expert that all of them share."""

    Dials = LteDials

    def shared(self, base: Base, *, seed: int, advance: Callable[[int], None] | None = None) -> Expert:
        """The alignment: a LoRA that acts wherever a note is read. Each finished round is kept, and not trained again.

        Raises UsageError where the corpus holds fewer than two texts to make lessons of.
        """
        dials: LteDials = self.dials
        own = {"steps": dials.steps, "rate": dials.rate}
        training = self.recipe.training.model_copy(update={"contexts": 0})
        learner = ContinualEditor(self.recipe.model_copy(update={"method": own, "training": training}))
        drilled = drill(base, self.corpus, form=dials.form, count=dials.rounds * dials.lessons, seed=seed)
        state: State | None = None
        for first in range(0, len(drilled.lessons), dials.lessons):
            round_ = Drill(lessons=drilled.lessons[first : first + dials.lessons])
            shape = {"recipe": learner.recipe.digest, "seed": seed, "after": state and state.name}
            state = prepared(
                base, round_, what="alignment", dials=shape, learn=partial(_learn, learner, base, round_, seed, state)
            )
            if advance:
                advance(len(round_.lessons))
        assert state is not None
        return self._expert(base, state)

    def _expert(self, base: Base, state: State) -> Expert:
        dtype = torch.float16 if self.recipe.experts.dtype == "float16" else torch.float32
        sites = sorted({name.rpartition("/")[0] for name in state.tensors})
        factors = {site: [state.tensors[f"{site}/{part}"].to(dtype) for part in "ab"] for site in sites}
        tensors = {site: LowRank(a, b) for site, (a, b) in factors.items()}
        learned = (f"sha256:{state.name}",)
        return Expert(learned, tensors, self.recipe.digest, base.fingerprint, anchors=ALWAYS)


def _learn(learner: ContinualEditor, base: Base, drill: Drill, seed: int, state: State | None, _: list[str]) -> State:
    """One round of the alignment after `state`."""
    made = learner.fit(base, Wave(as_groups(drill.lessons)), seed=seed, state=state).state
    assert made is not None
    return made


EDITOR = LteEditor
