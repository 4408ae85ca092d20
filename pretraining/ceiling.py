"""The oracle ceiling of a base: how far one isolated expert a fact, trained on its prompt alone, generalises.

    LIFELONG_DATA=... python -m pretraining.ceiling [--model DIR] [--limit 200] [--set experts.rank=4]

Every record of the tuning half becomes an expert of its own, trained on the prompt and nothing else (no
rephrases, no lead-ins, no near misses) until it converges, and is handed its own rephrase: no gate is asked.
What is missing from 1.000 is then the doing of base and editor. Generated exact match with natural stop. The
recipe is the default one, with dials overridden by `--set`, so sites, ranks and rates can be compared. Prompts go
through the chat template where there is one, as `lifelong init` has it, unless `--no-chat`. The stage `ceiling` of
`python -m pretraining` measures the shipped base so, for its card.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lifelong.config import read_recipe
from lifelong.editors import Lesson
from lifelong.evaluation.ceiling import ALONE, WAVE, Question, fit_alone, own_answers
from lifelong.evaluation.metrics import is_exact
from lifelong.models.base import EMBEDDED, Base
from policies.recipe import Recipe
from pretraining.encoder.streams import STREAMS, Record, half, load

SEED = 0


def lessons_of(records: Sequence[Record]) -> list[Lesson]:
    """Each record's prompt and new target; its probes are not read here."""
    return [Lesson(str(i), each.prompt, each.answers[0], each.subject) for i, each in enumerate(records)]


def measure(base: Base, recipe: Recipe, records: Sequence[Record]) -> dict[str, float]:
    """One line of the table: shares of own prompts and of rephrases answered exactly, and what training cost."""
    lessons, own, other, steps, seconds, size = lessons_of(records), 0, 0, 0, 0.0, 0
    for start in range(0, len(lessons), WAVE):
        part = lessons[start : start + WAVE]
        began = time.process_time()
        edit = fit_alone(base, recipe, part, seed=SEED)
        seconds += time.process_time() - began
        steps += sum(outcome.steps for outcome in edit.outcomes.values())
        size = sum(t.a.nbytes + t.b.nbytes for t in edit.experts[0].tensors.values())
        told = own_answers(base, edit, part, [Question(i, lesson.prompt) for i, lesson in enumerate(part)])
        rephrases = [record.rephrases[0] for record in records[start : start + WAVE]]
        asked = own_answers(base, edit, part, [Question(i, rephrase) for i, rephrase in enumerate(rephrases)])
        own += sum(is_exact(text, lesson.target) for text, lesson in zip(told, part, strict=True))
        other += sum(is_exact(text, lesson.target) for text, lesson in zip(asked, part, strict=True))
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
    model: str | Path, streams: Sequence[str], limit: int, settings: Sequence[str] = (), *, chat: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield a line for each stream: `limit` facts drawn by seed, all where it is 0."""
    base, recipe = Base.load(str(model)), read_recipe("default", overrides=overrides(settings))
    base.use_chat(chat and base.has_chat_template)
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
@click.option("--chat/--no-chat", default=True, help="Put prompts through the chat template, where there is one.")
def main(*, model: str, streams: tuple[str, ...], limit: int, settings: tuple[str, ...], chat: bool) -> None:
    """Print one JSON line a stream, then the mean generality."""
    shares = []
    for line in lines(model, streams, limit, settings, chat=chat):
        shares.append(line["generality"])
        click.echo(json.dumps(line))
    click.echo(json.dumps({"mean_generality": round(sum(shares) / len(shares), 3)}))


if __name__ == "__main__":
    main()
