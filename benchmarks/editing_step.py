"""What editing costs, recipe by recipe: CPU time of the editor alone, no job, audit or question around it.

    python -m benchmarks.editing_step --recipe default --data FILE [--edits 128] [--alone 8]

One JSON line. `preparation`: CPU seconds of what is learned once per base, if LIFELONG_CACHE does not hold it yet;
`batched`: CPU milliseconds a fact in waves as the recipe plans them; `alone`: in waves of one fact, one after another,
as the papers' code edits; `published`: so, with the steps and the shape of the method's own code (PUBLISHED), where
that code edits one fact after another; `bytes`: of tensors, states included, a fact. CPU time is of all threads of
this process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lifelong.config import read_recipe
from lifelong.editors import Editor, Lesson, Wave, editor_of
from lifelong.editors.state import State
from lifelong.evaluation.metrics import peak_mb
from lifelong.evaluation.stream import read_stream
from lifelong.experts.expert import Expert
from lifelong.jobs.training import lesson_of
from lifelong.models.base import EMBEDDED, Base
from policies.growth import expert_groups
from policies.recipe import Recipe

SEED = 0
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "grace": {"method": {"steps": 100, "stop_loss": 0.0}},
    "melo": {"training": {"steps": 50, "stop_loss": 0.0}, "experts": {"rank": 2}},
    "scen": {
        "experts": {"rank": 256, "modules": ["mlp.down"]},
        "training": {"steps": 10, "stop_loss": 0.0},
        "method": {"sweeps": 30},
    },
}
"""What the methods' own code does for each fact: GRACE takes 100 steps (`grace`, its example for zsRE), MELO 50 with
blocks of rank two, SCEN ten with a whole matrix and thirty with the neuron. None of them stops early. Lower layers are
computed once here and at every step there, so this is the least that their code takes, but for SCEN's matrix: a product
of full rank here, which has a third more numbers."""


def waves_of(lessons: Sequence[Lesson], size: int, shared_by: int) -> list[Wave]:
    """Waves of `size` lessons in their order, `shared_by` of them an expert."""
    parts = [lessons[start : start + size] for start in range(0, len(lessons), size)]
    return [
        Wave(tuple(tuple(part[i] for i in group) for group in expert_groups(range(len(part)), shared_by)))
        for part in parts
    ]


def edited(base: Base, editor: Editor, waves: Sequence[Wave]) -> tuple[float, int]:
    """CPU seconds that the waves take one after another, and the bytes of what stands at the end."""
    state: State | None = None
    standing: dict[str, Expert] = {}
    began = time.process_time()
    for wave in waves:
        edit = editor.fit(base, wave, seed=SEED, state=state)
        state = edit.state
        standing = {name: one for name, one in standing.items() if name not in edit.retires}
        standing |= {one.hash: one for one in edit.experts}
    seconds = time.process_time() - began
    experts = sum(delta.nbytes for one in standing.values() for delta in one.tensors.values())
    return seconds, experts + (sum(tensor.nbytes for tensor in state.tensors.values()) if state else 0)


def measured(base: Base, recipe: Recipe, lessons: Sequence[Lesson], alone: int) -> dict[str, float | None]:
    """The figures of the module's first words; `alone` facts are edited one by one."""
    editor = editor_of(recipe)
    few = waves_of(lessons[:2], 2, 1)
    began = time.process_time()
    editor.shared(base, seed=SEED)
    cold = time.process_time() - began + edited(base, editor, few)[0]
    warm = edited(base, editor, few)[0]
    shared_by = recipe.growth.facts_per_expert
    batched, size = edited(base, editor, waves_of(lessons, recipe.grouping.wave, shared_by))
    one_by_one = waves_of(lessons[:alone], 1, 1)
    by_itself = edited(base, editor, one_by_one)[0]
    published = None
    if recipe.name in PUBLISHED:
        as_published = read_recipe(recipe.name, overrides=PUBLISHED[recipe.name])
        published = round(1000 * edited(base, editor_of(as_published), one_by_one)[0] / alone, 2)
    return {
        "edits": len(lessons),
        "preparation": round(max(0.0, cold - warm), 2),
        "batched": round(1000 * batched / len(lessons), 2),
        "alone": round(1000 * by_itself / alone, 2),
        "published": published,
        "bytes": round(size / len(lessons)),
        "peak_mb": round(peak_mb(), 1),
    }


def editing_step(recipe: str, data: Path, *, model: str = EMBEDDED, edits: int = 128, alone: int = 8) -> dict[str, Any]:
    """The figures of a recipe on the first `edits` records of a file."""
    lessons = [lesson_of(fact) for fact in read_stream(data, edits=edits).facts]
    base = Base.load(model)
    figures = measured(base, read_recipe(recipe), lessons, min(alone, len(lessons)))
    return {"recipe": recipe, "base": base.fingerprint, **figures}


@click.command()
@click.option("--recipe", default="default", show_default=True)
@click.option("--model", default=EMBEDDED, show_default=True)
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--edits", default=128, show_default=True)
@click.option("--alone", default=8, show_default=True)
def main(**asked: Any) -> None:
    """Print one JSON line."""
    click.echo(json.dumps(editing_step(**asked)))


if __name__ == "__main__":
    main()
