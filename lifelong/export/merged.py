"""Export merged: one plain model with every fact in its weights, and an honest account of what that lost.

There is no gate in a plain model: every prompt sees the change. Experts that act on every prompt anyway are added as
they are. Behind a gate each would be added to prompts it was never trained on, so the facts are taught anew, all at
once, to a copy of the base that holds on to what the base says elsewhere (`lifelong.export.distilling`).

What was written is loaded again and asked every fact and every near miss, and lead-ins that nothing was taught on; the
answer stands in the model's folder (`merge.json`, and in words in `README.md`) and in what this returns. The
workspace's base is only read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from editlog.errors import UsageError
from lifelong.editors.routers import AlwaysOn
from lifelong.editors.views import LEAD_INS
from lifelong.evaluation.metrics import is_exact
from lifelong.export.distilling import answers, distil, rows_of
from lifelong.export.merging import add_to_weights, standing_changes
from lifelong.files import temporary_beside
from lifelong.jobs.progress import Progress
from lifelong.jobs.training import lesson_of
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.models.sites import decoder_layers
from lifelong.snapshots.serving import Served
from policies.audit import Score


@dataclass(frozen=True)
class Merged:
    """What a merged model answers, asked after it was written; every answer generated greedily to its natural stop.

    `how`: experts were `added` as they are, or facts `distilled`. `answered` and `rephrases` count facts' prompts and
    learned rephrases answered with the target; `near_misses` and `unrelated` count prompts answered word for word as by
    the base. Of these, a merge that distils was shown the near misses, and never the unrelated ones. `lost` names the
    facts whose prompt is not answered.
    """

    directory: str
    base: str
    how: Literal["added", "distilled"]
    facts: int
    answered: Score
    rephrases: Score
    near_misses: Score
    unrelated: Score
    lost: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def export_merged(
    model: EditedModel, fresh: Base, directory: Path, *, max_new_tokens: int, progress: Progress
) -> Merged:
    """Bring all facts that are served today into `fresh`, a base of its own, and write it to `directory`.

    Raises UsageError where the directory is there already, nothing is served, or the weights are quantised or spread.
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
    wordings = {text for fact in served for text in (fact.fact.prompt, *fact.fact.rephrases)}
    near_misses = sorted({near.prompt for fact in served for near in fact.fact.near_misses} - wordings)
    base = model.base
    asked = [*near_misses, *LEAD_INS]
    base_says = answers(base, asked, max_new_tokens=max_new_tokens)
    added = isinstance(model.router, AlwaysOn) and not model.weighs_tokens
    if added:
        add_to_weights(fresh, standing_changes(base, model.bank, model.router.route_to(served[0].seq)))
    else:
        lessons = [lesson_of(fact.fact) for fact in served]
        known = dict(zip(near_misses, base_says, strict=False))  # the lead-ins behind them are for the audit alone
        rows = rows_of(base, lessons, known, max_new_tokens=max_new_tokens)
        distil(fresh, _layers(model), rows, progress)
    temporary = temporary_beside(directory)
    temporary.mkdir(parents=True)
    try:
        fresh.model.save_pretrained(str(temporary))
        fresh.tokenizer.save_pretrained(str(temporary))
        written = base.beside(str(temporary))
        still = answers(written, asked, max_new_tokens=max_new_tokens)
        kept = [said == before for said, before in zip(still, base_says, strict=True)]
        right, rephrases = _fact_answers(written, served, max_new_tokens)
        merged = Merged(
            directory=str(directory),
            base=base.fingerprint,
            how="added" if added else "distilled",
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


def _holds(served: Served, now: datetime) -> bool:
    start, end = served.fact.valid_from, served.fact.valid_to
    return (start is None or start <= now) and (end is None or now < end)


def _layers(model: EditedModel) -> list[int]:
    """The layers in which experts stand; of experts that stand in none, the last."""
    prefix, layers = decoder_layers(model.base.model)
    found = {int(path.removeprefix(f"{prefix}.").split(".")[0]) for path in model.bank.sites}
    return sorted(found) or [len(layers) - 1]


def _fact_answers(written: Base, served: Sequence[Served], max_new_tokens: int) -> tuple[list[bool], list[bool]]:
    """Whether each fact's prompt is answered with its target; and each learned rephrase."""
    asked = [(fact.fact.prompt, fact.fact.target) for fact in served]
    asked += [(text, fact.fact.target) for fact in served for text in fact.fact.rephrases]
    told = answers(written, [text for text, _ in asked], max_new_tokens=max_new_tokens)
    right = [is_exact(said, target) for said, (_, target) in zip(told, asked, strict=True)]
    return right[: len(served)], right[len(served) :]


def _score(outcomes: Sequence[bool]) -> Score:
    return Score(sum(outcomes), len(outcomes))


_HOW = {
    "added": "added to the weights as their experts were",
    "distilled": "taught anew, all at once, to a copy of the base that was to keep its answers to near misses",
}


def _card(merged: Merged) -> str:
    """The model card: what this is, and what is worse than in the workspace it came from."""
    lost = f"Not answered: {', '.join(merged.lost)}." if merged.lost else "Every fact's prompt is answered."
    return (
        "# A base model with edits merged into its weights\n\n"
        f"Made by `lifelong export merged` from the base {merged.base}.\n"
        f"The facts were {_HOW[merged.how]}.\n"
        "It has no gate: every prompt sees the change, and no edit can be taken back or traced.\n\n"
        "| asked after it was written | as it should be | of |\n|---|---|---|\n"
        f"| facts' prompts, answered with the target | {merged.answered.good} | {merged.answered.measured} |\n"
        f"| learned rephrases, answered with the target | {merged.rephrases.good} | {merged.rephrases.measured} |\n"
        f"| near misses, answered as by the base | {merged.near_misses.good} | {merged.near_misses.measured} |\n"
        f"| unrelated lead-ins, answered as by the base | {merged.unrelated.good} | {merged.unrelated.measured} |\n\n"
        f"{lost}\n"
    )
