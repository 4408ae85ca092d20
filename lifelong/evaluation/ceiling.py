"""The ceiling: how far one isolated expert a fact, trained on its prompt alone to convergence, answers and generalises.

No rephrases, no lead-ins, no near misses, and no gate: each expert is handed its own fact's questions. What is missing
from 1.000 is then the doing of base and editor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from editlog.fact import Fact
from lifelong.config import read_recipe
from lifelong.editors import Edit, Lesson, Wave, as_groups, editor_of
from lifelong.evaluation.metrics import Accuracy, is_exact
from lifelong.evaluation.probes import ProbeItem, ProbeSet
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import GENERATION_BATCH, Base, batches_by_length
from policies.recipe import Recipe

ALONE: dict[str, Any] = {"growth": {"facts_per_expert": 1}, "training": {"contexts": 0, "near_misses": 0}}
WAVE = 256
LONGEST_ANSWER = 32


class Question(NamedTuple):
    """A prompt, and which of the lessons its expert was trained on."""

    lesson: int
    prompt: str


def fit_alone(base: Base, recipe: Recipe, lessons: Sequence[Lesson], *, seed: int) -> Edit:
    """An expert for each lesson, for as many steps as a retry takes."""
    return editor_of(recipe).fit(base, Wave(as_groups(lessons)), seed=seed, steps=recipe.training.retry_steps)


def own_answers(base: Base, edit: Edit, lessons: Sequence[Lesson], questions: Sequence[Question]) -> list[str]:
    """The greedy answer to each question under its lesson's own expert."""
    bank = Bank(base, [decode_pack(*encode_pack(edit.experts))])
    slots = [bank.slot_of[edit.outcomes[lesson.digest].expert] for lesson in lessons]
    routes = [Route(asked.lesson, (slots[asked.lesson],), (1.0,)) for asked in questions]
    found = [""] * len(questions)
    for index in batches_by_length([len(base.prompt_ids(asked.prompt)) for asked in questions], GENERATION_BATCH):
        with bank.serving([routes[i] for i in index]):
            texts = base.generate([questions[i].prompt for i in index], max_new_tokens=LONGEST_ANSWER)
        for i, text in zip(index, texts, strict=True):
            found[i] = text
    return found


def ceiling(
    base: Base, probes: ProbeSet, *, seed: int, advance: Callable[[int], None] | None = None
) -> tuple[Accuracy, Accuracy]:
    """Exact match on the scored facts' prompts and on their generality probes.

    The dials are those of the default recipe, isolated, whatever recipe is compared with it.
    """
    recipe = read_recipe("default", overrides=ALONE)
    right: dict[str, list[bool]] = {"own": [], "other": []}
    rephrased: dict[int, list[ProbeItem]] = {}
    for item in probes.generality:
        rephrased.setdefault(item.fact, []).append(item)
    for start in range(0, len(probes.facts), WAVE):
        part = probes.facts[start : start + WAVE]
        lessons = [lesson_alone(str(place), fact) for place, fact in enumerate(part)]
        asked = [("own", Question(place, fact.prompt), fact.target) for place, fact in enumerate(part)]
        asked += [
            ("other", Question(place, item.prompt), item.answer or part[place].target)
            for place in range(len(part))
            for item in rephrased.get(start + place, ())
        ]
        edit = fit_alone(base, recipe, lessons, seed=seed)
        texts = own_answers(base, edit, lessons, [question for _, question, _ in asked])
        for (side, _, wanted), text in zip(asked, texts, strict=True):
            right[side].append(is_exact(text, wanted))
        if advance:
            advance(len(part))
    return Accuracy(exact=_share(right["own"])), Accuracy(exact=_share(right["other"]))


def lesson_alone(name: str, fact: Fact) -> Lesson:
    """The fact's prompt and target under a name, and nothing else that it gives to learn from."""
    return Lesson(name, fact.prompt, fact.target, fact.subject)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
