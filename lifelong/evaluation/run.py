"""Measure what a workspace serves on the records of a file: behind `lifelong eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from editlog.errors import LifelongError
from editlog.fact import Fact
from editlog.formats import read_facts
from editlog.lines import Reject
from lifelong.evaluation.harness import evaluate
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.reference import PlainBase, Reference
from lifelong.hub import opened

if TYPE_CHECKING:
    from lifelong.model import EditedModel
    from lifelong.progress import Progress
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
    another process). Raises UsageError where the file cannot be opened,
    LifelongError where no record of it can be read.
    """
    items = list(read_facts(opened(path, limit=limit), limit=limit))
    facts = [item for item in items if isinstance(item, Fact)]
    rejects = [item for item in items if isinstance(item, Reject)]
    if rejects and not facts:
        first = rejects[0]
        raise LifelongError(f"no record of {path} can be read; line {first.line}: {first.reason}")
    metrics = evaluate(
        edited,
        facts,
        others=[served.fact for served in edited.facts.values() if served.expert],
        reference=reference or PlainBase(edited.base),
        recipe=recipe,
        model=model,
        bytes_per_edit=bytes_an_edit(experts),
        progress=progress,
    )
    return replace(metrics, counts={**metrics.counts, "rejected": len(rejects)})


def bytes_an_edit(experts: Sequence[ExpertRow]) -> float | None:
    """Bytes of these experts over the facts they carry; None without any."""
    carried = sum(len(row.facts) for row in experts)
    return sum(row.bytes for row in experts) / carried if carried else None
