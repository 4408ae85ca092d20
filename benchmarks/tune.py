"""Tuning: twelve trials of each recipe's dials, each on at most 200 records of the tuning half.

    python -m benchmarks.tune [--recipe NAME ...] [--records 200] [--trials 12] [--out docs/tuning/trials.csv]

The first trial is the recipe as it is shipped, the others are drawn with a fixed seed from `SPACES`. A trial edits the
records of CounterFact wave by wave, in no workspace, and asks: reliability and generality (the first rephrase) are
exact generated answers, locality is agreement with the base without edits on the records' own out-of-scope prompts;
the score is the harmonic mean of the three, as in the papers, so that to change nothing earns nothing. One row of --out
a trial; rows that are there are not measured again.
"""

from __future__ import annotations

import csv
import json
import random
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

import click

from benchmarks.compare import STREAMS
from benchmarks.editing_step import SEED, waves_of
from editlog.fact import Fact
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.gate import Gate, LocalityBudget
from lifelong.config import read_recipe, recipe_names
from lifelong.editors import editor_of
from lifelong.evaluation.edited import MAX_NEW_TOKENS
from lifelong.evaluation.metrics import is_exact
from lifelong.evaluation.probes import ProbeSet, collect
from lifelong.evaluation.stream import half_of, read_stream
from lifelong.experts.bank import Bank
from lifelong.experts.pack import alike, decode_pack, encode_pack
from lifelong.jobs.training import lesson_of
from lifelong.models.base import EMBEDDED, Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import scoped
from policies.recipe import Recipe
from pretraining.settings import data_folder

MOST_RECORDS, MOST_TRIALS = 200, 12
_GRADIENT = {"training.steps": (30, 60), "training.value_rate": (1.0, 3.0, 10.0), "experts.rank": (2, 4, 8)}
_SHARED = {"method.rate": (1e-3, 2e-3, 5e-3, 1e-2), "method.steps": (50, 100), "experts.rank": (8, 16, 32)}
_CLOSED = {
    "method.rate": (0.2, 0.5, 1.0),
    "method.contexts": (0, 1),
    "method.steps": (30, 60),
    "method.clamp": (0.0, 0.75, 2.0),
}
# A value at one token of the last layer is read by no later one.
_LAYERS = ((-4,), (-3,), (-2,))
_SPANS = ((-4, -3), (-3, -2), (-4, -3, -2))
_RADII = (3.0, 10.0, 30.0, 100.0)
_NOTES = {"method.form": ("Fact: {}\n", "{} ", "Updated information: {}\n"), "method.relevance": (0.0, 0.5, 2.0)}
SPACES: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "coachhook": {
        **_CLOSED,
        "method.layers": _SPANS,
        "method.preserve": (10.0, 100.0),
        "method.alpha": (1.5, 2.2, 3.0),
    },
    "default": {**_GRADIENT, "training.contexts": (1, 2), "training.near_miss_weight": (0.0, 0.05, 0.2)},
    "elder": {**_SHARED, "method.guide": (0.01, 0.1, 1.0), "method.within": (2, 4, 8)},
    "emmet": {**_CLOSED, "method.layers": _LAYERS, "method.ridge": (0.01, 0.1, 1.0)},
    "eren": {**_NOTES, "method.notes": (1, 2)},
    "grace": {"method.layer": (-4, -3, -2), "method.radius": _RADII, "method.rate": (0.3, 1.0)},
    "lemoe": {**_GRADIENT, "growth.facts_per_expert": (5, 20), "method.inner": (128, 256)},
    "lora": {**_SHARED, "experts.layers": ((-1,), (-2, -1))},
    "lte": {**_NOTES, "method.rate": (3e-4, 1e-3), "method.steps": (5, 10)},
    "malmen": {"method.rate": (0.3, 1.0, 3.0), "method.ridge": (1e-3, 1e-2, 0.1), "method.layers": ((-1,), (-2, -1))},
    "melo": {**_GRADIENT, "method.layer": (-3, -2), "method.radius": _RADII},
    "memit": {**_CLOSED, "method.layers": _SPANS, "method.preserve": (10.0, 100.0, 1000.0)},
    "memoe": {**_SHARED, "method.experts": (4, 8), "method.top": (1, 2)},
    "mocle": {**_SHARED, "method.clusters": (4, 8, 16), "method.temperature": (0.02, 0.05, 0.2)},
    "rome": {**_CLOSED, "method.layers": _LAYERS},
    "scen": {**_GRADIENT, "method.layer": (-3, -2, -1), "method.margin": (0.3, 0.7, 1.5), "method.negatives": (8, 32)},
}


def trials_of(name: str, count: int) -> list[dict[str, Any]]:
    """The dials of each trial of a recipe, the first one none: the same each time, none twice."""
    space = SPACES[name]
    points = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    drawn = random.Random(f"{SEED} {name}").sample(points, min(count - 1, len(points)))
    return [{}, *drawn]


def recipe_with(name: str, dials: Mapping[str, Any]) -> Recipe:
    """A shipped recipe with `section.dial` settings."""
    overrides: dict[str, dict[str, Any]] = {}
    for place, value in dials.items():
        section, _, dial = place.partition(".")
        overrides.setdefault(section, {})[dial] = value
    return read_recipe(name, overrides=overrides)


def edited_model(base: Base, recipe: Recipe, facts: Sequence[Fact]) -> EditedModel:
    """The model after the facts were edited, wave by wave, as a reader would have it."""
    editor, state = editor_of(recipe), None
    shared = editor.shared(base, seed=SEED)
    standing = {shared.hash: shared} if shared else {}
    lessons = [lesson_of(fact) for fact in facts]
    for wave in waves_of(lessons, recipe.grouping.wave, recipe.growth.facts_per_expert):
        edit = editor.fit(base, wave, seed=SEED, state=state)
        state = edit.state
        standing = {name: one for name, one in standing.items() if name not in edit.retires}
        standing |= {one.hash: one for one in edit.experts}
    expert_of = {digest: one.hash for one in standing.values() for digest in one.facts}
    served = [Served(i + 1, fact, "tune", "", None, expert_of[fact.digest]) for i, fact in enumerate(facts)]
    budget = LocalityBudget(unrelated=recipe.locality_budget.unrelated, near=recipe.locality_budget.near)
    gate = Gate.build(scoped(served), encoder=encoder_named(recipe.routing.encoder), budget=budget)
    bank = Bank(base, [decode_pack(*encode_pack(part)) for part in alike(standing.values())])
    return EditedModel(base, bank, gate, served, editor=editor, state=state)


def figures(model: EditedModel, probes: ProbeSet) -> dict[str, float]:
    """Reliability, generality, locality and their harmonic mean."""

    def said(prompts: Sequence[str], *, edits: bool = True) -> list[str]:
        return model.generate(prompts, edits=edits, max_new_tokens=MAX_NEW_TOKENS)

    def right(rows: Sequence[tuple[str, str]]) -> float:
        answers = said([prompt for prompt, _ in rows])
        return _mean([is_exact(text, wanted) for text, (_, wanted) in zip(answers, rows, strict=True)])

    others = [item.prompt for items in probes.locality.values() for item in items]
    kept = zip(said(others), said(others, edits=False), strict=True)
    found = {
        "reliability": right([(fact.prompt, fact.target) for fact in probes.facts]),
        "generality": right([(item.prompt, item.answer or "") for item in probes.generality]),
        "locality": _mean([edited == untouched for edited, untouched in kept]),
    }
    return {**found, "score": harmonic_mean(list(found.values()))}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@click.command()
@click.option("--recipe", "names", multiple=True, help="A recipe to tune [default: all].")
@click.option("--model", default=EMBEDDED, show_default=True)
@click.option("--records", type=click.IntRange(1, MOST_RECORDS), default=MOST_RECORDS, show_default=True)
@click.option("--trials", type=click.IntRange(1, MOST_TRIALS), default=MOST_TRIALS, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="docs/tuning/trials.csv")
def main(names: tuple[str, ...], model: str, records: int, trials: int, out: Path) -> None:
    """Measure the trials that are not in the table yet."""
    base = Base.load(model)
    stream = read_stream(data_folder() / next(iter(STREAMS.values())), half="all")
    facts = [fact for fact in stream.facts if half_of(fact.prompt) == "tuning"][:records]
    probes = collect(facts, scored=lambda _: True)
    out.parent.mkdir(parents=True, exist_ok=True)
    before = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    place = {"base": base.fingerprint[7:19], "records": str(len(facts))}
    done = {(row["recipe"], row["dials"]) for row in csv.DictReader(before) if place.items() <= row.items()}
    with out.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not before:
            measures = ("reliability", "generality", "locality", "score")
            writer.writerow(["recipe", "trial", "dials", *measures, "cpu_seconds", *place])
        for name in names or tuple(recipe_names()):
            for trial, dials in enumerate(trials_of(name, trials)):
                told = json.dumps(dials)
                if (name, told) in done:
                    continue
                began = time.process_time()
                found = figures(edited_model(base, recipe_with(name, dials), facts), probes)
                measured = [f"{value:.4f}" for value in found.values()]
                seconds = f"{time.process_time() - began:.1f}"
                writer.writerow([name, trial, told, *measured, seconds, *place.values()])
                file.flush()
                click.echo(f"{name} {trial}: {found['score']:.3f} {told}", err=True)


if __name__ == "__main__":
    main()
