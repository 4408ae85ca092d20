"""GRACE: a code book of values at one layer, each fact's behind its own key with a radius in which it is deferred to.

The key is what the module reads at the last token of the prompt; the value takes the place of what it puts out there.
Radii follow from the facts that are served, in log order, so a retracted fact leaves none of its splits behind.

Other than the published code: whether two facts have the same label is decided on their texts, not on the mean of
token ids; a batch may hit different keys; every fact keeps a key and a value of its own, also where a neighbour's
radius was widened to cover it, so that each can be taken back; and values, which do not depend on one another, are
trained together.

Hartvigsen et al., 2023, "Aging with GRACE" (arXiv 2211.11031).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from editlog.canonical import fold
from lifelong.editors import Dials, Edit, Editor, Lesson, Outcome, Wave
from lifelong.editors.reading import one_site, read_ends
from lifelong.editors.routers import NearestKey, Router, Scene
from lifelong.editors.state import State
from lifelong.editors.values import Fit, Placed, fit_values
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import Value
from lifelong.models.base import Base
from lifelong.snapshots.serving import Served

_GAP = 1e-5
"""By how much two split radii stay short of touching."""


class GraceDials(Dials):
    """`layer` and `module` hold the code book; `radius` is a key's first reach, in the units of what the module reads;
    `rate` is how far a value may move in a step, in what the module puts out."""

    layer: int = -2
    module: str = "mlp.down"
    radius: Annotated[float, Field(gt=0.0)] = 1.0
    steps: Annotated[int, Field(ge=1, le=10_000)] = 100
    rate: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    stop_loss: Annotated[float, Field(ge=0.0)] = 0.01


def radii(labels: Sequence[str], keys: Tensor, initial: float) -> Tensor:
    """How far each key reaches, [keys], given their labels and the keys [keys, width] in the order they came.

    A new key beyond the reach of its nearest, by more than `initial`, starts alone. Within it, one of the same label
    widens the nearest key's reach up to itself; one of another splits the way between them.
    """
    reach = torch.full((len(keys),), float(initial))
    for new in range(1, len(keys)):
        distances = torch.linalg.vector_norm(keys[:new] - keys[new], dim=1)
        near = int(distances.argmin())
        distance = float(distances[near])
        if distance > initial + float(reach[near]):
            continue
        if labels[new] == labels[near]:
            reach[near] = max(float(reach[near]), distance)
        else:
            reach[near] = distance / 2 - _GAP
            reach[new] = distance / 2
    return reach


class GraceEditor(Editor):
    """One value a fact, reached by the nearest key."""

    Dials = GraceDials

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
        """Train a value for each fact; see `Editor.fit`. Nothing is drawn, so `seed` changes nothing."""
        dials: GraceDials = self.dials
        site = one_site(base, dials.layer, dials.module)
        lessons = wave.lessons
        rows = [placed_last(base, place, lesson) for place, lesson in enumerate(lessons)]
        fit = Fit(max(dials.steps, steps or 0), dials.rate, dials.stop_loss)
        values = fit_values(base, site, site.path, rows, fit, advance=advance)
        keys, _ = read_ends(base, site.path, [lesson.prompt for lesson in lessons])
        outputs = (values.own + values.added).cpu()
        experts = [
            Expert(
                facts=(lesson.digest,),
                tensors={site.path: Value(outputs[i].clone())},
                recipe=self.recipe.digest,
                base=base.fingerprint,
                kind="value",
                anchors=keys[i : i + 1].clone(),
            )
            for i, lesson in enumerate(lessons)
        ]
        ends = zip(lessons, experts, values.loss.tolist(), values.steps.tolist(), values.right.tolist(), strict=True)
        return Edit(
            tuple(experts),
            {lesson.digest: Outcome(expert.hash, loss, taken, right) for lesson, expert, loss, taken, right in ends},
        )

    def router(self, scene: Scene) -> Router:
        """The nearest key, where it reaches the prompt."""
        dials: GraceDials = self.dials
        path = one_site(scene.base, dials.layer, dials.module).path

        def query(prompts: Sequence[str]) -> Tensor:
            return read_ends(scene.base, path, prompts)[0]

        def reach(facts: Sequence[Served], keys: Tensor) -> Tensor:
            return radii([fold(served.fact.target) for served in facts], keys, dials.radius)

        return NearestKey(scene, query, reach)


def placed_last(base: Base, fact: int, lesson: Lesson) -> Placed:
    """A lesson's prompt and answer, with the place of its value at the prompt's last token."""
    prompt = base.prompt_ids(lesson.prompt)
    return Placed(fact, tuple(prompt), tuple(base.answer_ids(lesson.prompt, lesson.target)), len(prompt) - 1)


EDITOR = GraceEditor
