"""Measure what a workspace serves on the facts it serves: the whole regression suite, behind `lifelong eval --live`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifelong.evaluation.harness import evaluate
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.run import bytes_an_edit

if TYPE_CHECKING:
    from lifelong.jobs.progress import Progress
    from lifelong.models.edited import EditedModel
    from lifelong.results import ExpertRow


def evaluate_live(
    edited: EditedModel,
    *,
    recipe: str,
    model: str,
    experts: Sequence[ExpertRow],
    limit: int | None = None,
    progress: Progress | None = None,
) -> Metrics:
    """Score every fact that an expert carries, in the order of the log, or the first `limit` of them."""
    live = [served.fact for served in edited.facts.values() if served.expert]
    return evaluate(
        edited,
        live[:limit],
        others=live,
        recipe=recipe,
        model=model,
        bytes_per_edit=bytes_an_edit(experts),
        progress=progress,
    )
