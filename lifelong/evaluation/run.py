"""Measure what a workspace serves on the records of a file: behind `lifelong eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lifelong.evaluation.harness import evaluate
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.reference import PlainBase, Reference
from lifelong.evaluation.stream import read_stream

if TYPE_CHECKING:
    from lifelong.jobs.progress import Progress
    from lifelong.models.edited import EditedModel
    from lifelong.results import ExpertRow


def evaluate_file(
    edited: EditedModel,
    path: str | Path,
    *,
    recipe: str,
    model: str,
    experts: Sequence[ExpertRow],
    limit: int | None = None,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> Metrics:
    """Score the first `limit` records of a file (None: all); those that cannot be read are only counted.

    `experts` are those in use, for the bytes an edit; `reference` is the untouched base (None: plain transformers in
    another process; of a base that a device map spreads, which no second one fits beside, the edited model without its
    edits). Raises what `read_stream` raises.
    """
    stream = read_stream(path, edits=limit, half="all")
    if reference is None and len(edited.base.devices) == 1:
        reference = PlainBase(edited.base)
    metrics = evaluate(
        edited,
        stream.facts,
        others=[served.fact for served in edited.facts.values() if served.expert],
        reference=reference,
        recipe=recipe,
        model=model,
        bytes_per_edit=bytes_an_edit(experts),
        truths=stream.truths,
        progress=progress,
    )
    return replace(metrics, counts={**metrics.counts, "rejected": stream.rejected})


def bytes_an_edit(experts: Sequence[ExpertRow]) -> float | None:
    """Bytes of these experts over the facts they carry; None without any."""
    carried = sum(len(row.facts) for row in experts)
    return sum(row.bytes for row in experts) / carried if carried else None
