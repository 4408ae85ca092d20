"""Export merged: one plain model with the experts' deltas in its weights, and an honest account of what that lost.

There is no gate in a plain model: every prompt sees the change, and facts share matrices that they did not share
before. So what was written is loaded again and asked every fact and every near miss, and the answer stands in the
model's folder (`merge.json`, and in words in `README.md`) and in what this returns. The workspace's base is only read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from editlog.errors import UsageError
from lifelong.editors.routers import AlwaysOn
from lifelong.editors.views import LEAD_INS
from lifelong.evaluation.metrics import is_exact
from lifelong.export.merging import MergeRow, add_to_weights, standing_changes, untouched, weight_changes
from lifelong.files import temporary_beside
from lifelong.models.base import GENERATION_BATCH, Base, batches_by_length
from lifelong.models.edited import EditedModel
from lifelong.models.sites import decoder_layers
from lifelong.snapshots.serving import Served
from policies.audit import Score

NOT_WEIGHTS = {
    "note": "a note is words that are read before the prompt; there is nothing of it to add to a weight",
    "value": "a stored value takes the place of what a layer puts out at one position; a weight acts at every position",
}
"""Kinds of experts that no weight can hold, and why."""


@dataclass(frozen=True)
class Merged:
    """What a merged model answers, asked after it was written; every answer generated greedily to its natural stop.

    `answered` and `rephrases` count facts' prompts and learned rephrases answered with the target; `near_misses` and
    `unrelated` count prompts answered as the base does. `lost` names the facts whose prompt is not answered.
    """

    directory: str
    base: str
    facts: int
    answered: Score
    rephrases: Score
    near_misses: Score
    unrelated: Score
    lost: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def export_merged(model: EditedModel, fresh: Base, directory: Path, *, max_new_tokens: int) -> Merged:
    """Merge all experts that are served today into `fresh`, a base of its own, and write it to `directory`.

    Experts that act on every prompt are added as they are; of those behind a gate the nearest single change is fitted.
    Raises UsageError where the directory is there already, nothing is served, the weights are quantised, or an expert
    is of a kind that no weight can hold.
    """
    if os.path.lexists(directory):
        raise UsageError(f"{directory} exists already; export into a new directory")
    if fresh.quantised:
        raise UsageError("the base's weights are quantised, and nothing can be added to them; use `export peft`")
    if len(fresh.devices) > 1:
        raise UsageError(
            f"the base is spread over {', '.join(fresh.devices)}, and a merge needs all its weights in one place; set"
            ' device = "cpu" in lifelong.toml, or use `export peft`'
        )
    now = datetime.now(UTC)
    served = [fact for fact in model.facts.values() if fact.expert and _holds(fact, now)]
    if not served:
        raise UsageError("no fact has an expert in use, so there is nothing to merge")
    _check_kinds(model, served)
    near_misses = sorted({near.prompt for fact in served for near in fact.fact.near_misses})
    base = model.base
    base_says = _answers(base, [*near_misses, *LEAD_INS], max_new_tokens)
    if isinstance(model.router, AlwaysOn):
        changes = standing_changes(base, model.bank, model.router.route_to(served[0].seq))
    else:
        rows = [*_rows(model, served), *untouched(base, [*near_misses, *LEAD_INS])]
        changes = weight_changes(base, model.bank, rows, answers_only=_stands_last(model))
    add_to_weights(fresh, changes)
    temporary = temporary_beside(directory)
    temporary.mkdir(parents=True)
    try:
        fresh.model.save_pretrained(str(temporary))
        fresh.tokenizer.save_pretrained(str(temporary))
        written = base.beside(str(temporary))
        still = _answers(written, [*near_misses, *LEAD_INS], max_new_tokens)
        kept = [said == before for said, before in zip(still, base_says, strict=True)]
        right, rephrases = _fact_answers(written, served, max_new_tokens)
        merged = Merged(
            directory=str(directory),
            base=base.fingerprint,
            facts=len(served),
            answered=_score(right),
            rephrases=_score(rephrases),
            near_misses=_score(kept[: len(near_misses)]),
            unrelated=_score(kept[len(near_misses) :]),
            lost=tuple(fact.ref for fact, good in zip(served, right, strict=True) if not good),
        )
        (temporary / "merge.json").write_text(json.dumps(merged.to_dict(), indent=2) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(_card(merged), encoding="utf-8")
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return merged


def _check_kinds(model: EditedModel, served: Sequence[Served]) -> None:
    """Raise UsageError for an expert that is no change of a weight: a note, a stored value, one that weighs tokens."""
    routes = model.route_to([fact.seq for fact in served])
    kinds = {model.bank.expert_at(slot)[0].kind for route in routes for slot in route.slots}
    if kind := next((kind for kind in sorted(kinds) if kind in NOT_WEIGHTS), None):
        raise UsageError(f"experts of kind {kind} cannot be merged: {NOT_WEIGHTS[kind]}")
    if model.weighs_tokens:
        raise UsageError("these experts cannot be merged: they act on some tokens only, and a weight acts on all")


def _holds(served: Served, now: datetime) -> bool:
    start, end = served.fact.valid_from, served.fact.valid_to
    return (start is None or start <= now) and (end is None or now < end)


def _rows(model: EditedModel, served: Sequence[Served]) -> list[MergeRow]:
    return [
        MergeRow(tuple(model.base.prompt_ids(text)), tuple(model.base.answer_ids(text, fact.fact.target)), route)
        for fact, route in zip(served, model.route_to([fact.seq for fact in served]), strict=True)
        for text in dict.fromkeys((fact.fact.prompt, *fact.fact.rephrases))
    ]


def _stands_last(model: EditedModel) -> bool:
    """Whether every site stands in the last layer, behind whose attention each position is by itself."""
    prefix, layers = decoder_layers(model.base.model)
    return all(path.startswith(f"{prefix}.{len(layers) - 1}.") for path in model.bank.sites)


def _answers(base: Base, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    answers: dict[int, str] = {}
    for index in batches_by_length([len(base.prompt_ids(prompt)) for prompt in prompts], GENERATION_BATCH):
        said = base.generate([prompts[i] for i in index], max_new_tokens=max_new_tokens)
        answers.update(zip(index, said, strict=True))
    return [answers[i] for i in range(len(prompts))]


def _fact_answers(written: Base, served: Sequence[Served], max_new_tokens: int) -> tuple[list[bool], list[bool]]:
    """Whether each fact's prompt is answered with its target; and each learned rephrase."""
    asked = [(fact.fact.prompt, fact.fact.target) for fact in served]
    asked += [(text, fact.fact.target) for fact in served for text in fact.fact.rephrases]
    answers = _answers(written, [text for text, _ in asked], max_new_tokens)
    right = [is_exact(said, target) for said, (_, target) in zip(answers, asked, strict=True)]
    return right[: len(served)], right[len(served) :]


def _score(outcomes: Sequence[bool]) -> Score:
    return Score(sum(outcomes), len(outcomes))


def _card(merged: Merged) -> str:
    """The model card: what this is, and what is worse than in the workspace it came from."""
    lost = f"Not answered: {', '.join(merged.lost)}." if merged.lost else "Every fact's prompt is answered."
    return (
        "# A base model with edits merged into its weights\n\n"
        f"Made by `lifelong export merged` from the base {merged.base}.\n"
        "It has no gate: every prompt sees the merged change, and no edit can be taken back or traced.\n\n"
        "| asked after it was written | as it should be | of |\n|---|---|---|\n"
        f"| facts' prompts, answered with the target | {merged.answered.good} | {merged.answered.measured} |\n"
        f"| learned rephrases, answered with the target | {merged.rephrases.good} | {merged.rephrases.measured} |\n"
        f"| near misses, answered as by the base | {merged.near_misses.good} | {merged.near_misses.measured} |\n"
        f"| unrelated lead-ins, answered as by the base | {merged.unrelated.good} | {merged.unrelated.measured} |\n\n"
        f"{lost}\n"
    )
