"""The oracle ceiling of a base: how far one isolated expert a fact, trained on its prompt alone, generalises.

    LIFELONG_DATA=... python -m pretraining.ceiling [--model DIR] [--limit 200] [--set experts.rank=4]

Every record of the tuning half becomes an expert of its own, trained on the prompt and nothing else (no
rephrases, no lead-ins, no near misses) until it converges, and is handed its own rephrase: no gate is asked.
What is missing from 1.000 is then the doing of base and editor. Generated exact match with natural stop. The
recipe is the default one, with dials overridden by `--set`, so sites, ranks and rates can be compared. The
stage `ceiling` of `python -m pretraining` measures the shipped base so, for its card.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lifelong.base import EMBEDDED, Base, batches_by_length
from lifelong.config import read_recipe
from lifelong.editors import Edit, Lesson, Wave, as_groups, editor_of
from lifelong.evaluation.metrics import is_exact
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from policies.recipe import Recipe
from pretraining.encoder.streams import STREAMS, Record, half, load

ALONE: dict[str, Any] = {"growth": {"facts_per_expert": 1}, "training": {"contexts": 0, "near_misses": 0}}
WAVE, ROWS, SEED, LONGEST_ANSWER = 256, 64, 0, 32


def lessons_of(records: Sequence[Record]) -> list[Lesson]:
    """Each record's prompt and new target; its probes are not read here."""
    return [Lesson(str(i), each.prompt, each.answers[0], each.subject) for i, each in enumerate(records)]


def answers(base: Base, edit: Edit, lessons: Sequence[Lesson], prompts: Sequence[str]) -> list[str]:
    """The i-th prompt's answer under the i-th lesson's own expert."""
    bank = Bank(base, [decode_pack(*encode_pack(edit.experts))])
    routes = [
        Route(i, (bank.slot_of[edit.outcomes[lesson.digest].expert],), (1.0,)) for i, lesson in enumerate(lessons)
    ]
    found = [""] * len(prompts)
    for index in batches_by_length([len(base.prompt_ids(prompt)) for prompt in prompts], ROWS):
        with bank.serving([routes[i] for i in index]):
            texts = base.generate([prompts[i] for i in index], max_new_tokens=LONGEST_ANSWER)
        for i, text in zip(index, texts, strict=True):
            found[i] = text
    return found


def measure(base: Base, recipe: Recipe, records: Sequence[Record]) -> dict[str, float]:
    """One line of the table: shares of own prompts and of rephrases answered exactly, and what training cost."""
    lessons, own, other, steps, seconds, size = lessons_of(records), 0, 0, 0, 0.0, 0
    for start in range(0, len(lessons), WAVE):
        part = lessons[start : start + WAVE]
        began = time.process_time()
        edit = editor_of(recipe).fit(base, Wave(as_groups(part)), seed=SEED, steps=recipe.training.retry_steps)
        seconds += time.process_time() - began
        steps += sum(outcome.steps for outcome in edit.outcomes.values())
        size = sum(t.a.nbytes + t.b.nbytes for t in edit.experts[0].tensors.values())
        rephrases = [record.rephrases[0] for record in records[start : start + WAVE]]
        for lesson, told, asked in zip(
            part,
            answers(base, edit, part, [lesson.prompt for lesson in part]),
            answers(base, edit, part, rephrases),
            strict=True,
        ):
            own += is_exact(told, lesson.target)
            other += is_exact(asked, lesson.target)
    count = len(lessons)
    return {
        "facts": count,
        "reliability": own / count,
        "generality": other / count,
        "steps": steps / count,
        "facts_per_cpu_second": count / seconds,
        "bytes_per_fact": size,
    }


def overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Read `section.dial=JSON` settings over what an isolated expert on the prompt alone asks for."""
    found: dict[str, Any] = {section: dict(dials) for section, dials in ALONE.items()}
    for setting in settings:
        place, _, value = setting.partition("=")
        section, _, dial = place.partition(".")
        found.setdefault(section, {})[dial] = json.loads(value)
    return found


def lines(
    model: str | Path, streams: Sequence[str], limit: int, settings: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield a line for each stream: `limit` facts drawn by seed, all where it is 0."""
    base, recipe = Base.load(str(model)), read_recipe("default", overrides=overrides(settings))
    for stream in streams:
        records = [record for record in half(load(stream), "tuning") if record.rephrases]
        random.Random(SEED).shuffle(records)
        figures = measure(base, recipe, records[: limit or None])
        yield {"stream": stream, **{key: round(value, 3) for key, value in figures.items()}}


@click.command()
@click.option("--model", default=EMBEDDED, help="A model folder; by default the embedded base.")
@click.option("--stream", "streams", multiple=True, type=click.Choice(list(STREAMS)), default=tuple(STREAMS))
@click.option("--limit", default=200, show_default=True, help="Facts of each stream, drawn by seed; 0: all.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.DIAL=JSON", help="Override a dial of the recipe.")
def main(model: str, streams: tuple[str, ...], limit: int, settings: tuple[str, ...]) -> None:
    """Print one JSON line a stream, then the mean generality."""
    shares = []
    for line in lines(model, streams, limit, settings):
        shares.append(line["generality"])
        click.echo(json.dumps(line))
    click.echo(json.dumps({"mean_generality": round(sum(shares) / len(shares), 3)}))


if __name__ == "__main__":
    main()
