"""EREN: edits are notes in a notebook; those that are relevant are read before the prompt, by the model as it is.

Two steps, as in the paper. First each note that was retrieved is judged: is it relevant to the prompt? Then the prompt
is read behind those that are; where none is, the model answers as if there were no notebook.

Other than the published method, which asks an instruction-tuned model in words whether it can answer from a note: a
plain decoder is asked by what it predicts. A note is relevant where reading it moves what the base would say next; the
target is not looked at, for a scope is decided on the prompt alone. Notes are retrieved by the calibrated gate, so the
promise of its locality budget holds before any is judged.

Chen et al., 2024, "Robust and Scalable Model Editing for Large Language Models" (arXiv 2403.17431).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from lifelong.editors import Dials, Edit, Editor, Outcome, Wave
from lifelong.editors.notes import FORM, ReadingRouter, note_expert, note_text
from lifelong.editors.routers import Router, Scene
from lifelong.editors.state import State
from lifelong.models.base import Base


class ErenDials(Dials):
    """`form`: how a note is written, `{}` being its sentence. `notes`: how many are read at most. `relevance`: how
    far (nats) a note must move the base's next word to be relevant; at 0 every note that the gate lets in is."""

    form: Annotated[str, Field(pattern=r"^[^{}\x00]*\{\}[^{}\x00]*$", max_length=1000)] = FORM
    notes: Annotated[int, Field(ge=1, le=16)] = 1
    relevance: Annotated[float, Field(ge=0.0)] = 0.0


class ErenEditor(Editor):
    """One note a fact; nothing is trained, so a fact that is not served has left nothing behind."""

    Dials = ErenDials

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
        """Write down each fact; see `Editor.fit`. Whether it is obeyed, the audit finds out."""
        form = self.dials.form
        experts = [
            note_expert(
                lesson.digest,
                note_text(lesson.prompt, lesson.target, form),
                recipe=self.recipe.digest,
                base=base.fingerprint,
            )
            for lesson in wave.lessons
        ]
        if advance:
            advance(len(experts))
        return Edit(tuple(experts), {one.facts[0]: Outcome(one.hash, 0.0, 0, converged=True) for one in experts})

    def router(self, scene: Scene) -> Router:
        """The gate, then the base's own judgement of each note."""
        return ReadingRouter(scene, most=self.dials.notes, least=self.dials.relevance)


EDITOR = ErenEditor
