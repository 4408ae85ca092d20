"""Is bigger edit batch size always better? One bench for each size of the batches that facts are solved for in.

The same edits in one job: one after another (1, sequential editing), all at once (batch editing), and in batches one
after another (sequential-batch editing).

Yoon et al., 2024, "Is Bigger Edit Batch Size Always Better?" (arXiv 2405.00664).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from editlog.errors import UsageError
from lifelong.benching.result import Result
from lifelong.benching.run import bench, folder_of
from lifelong.config import read_recipe
from lifelong.editors import editor_of
from lifelong.editors.measuring import shared_measurements
from lifelong.evaluation.stream import read_stream
from lifelong.evaluation.table import columns, share
from lifelong.files import write_atomically
from lifelong.jobs.progress import Progress, Silent
from lifelong.reports.html import note, page, section, table
from lifelong.reports.plots import Series, line_plot
from policies.recipe import laid_over

LEAST_WAVE = 32
_FIGURES = ("reliability", "generality", "unrelated", "same relation", "same subject", "retention")


def batch_folder(out: Path, size: int) -> Path:
    """Where `bench_batches` keeps the bench of a size."""
    return out / f"batch-{size}"


def in_batches_of(size: int, edits: int) -> dict[str, dict[str, int]]:
    """Dials, section by section, by which `edits` facts of one job are solved for in batches of `size`."""
    return {"method": {"batch_size": size}, "grouping": {"wave": max(LEAST_WAVE, edits)}}


@contextlib.contextmanager
def sharing_reference(folder: Path) -> Iterator[None]:
    """What the untouched base answers to the bench made in `folder` meanwhile is shared with those beside it."""
    shared, own = folder.parent / "reference.jsonl", folder / "reference.jsonl"
    if shared.exists() and not own.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(own, shared.read_bytes())
    yield
    if own.exists() and not shared.exists():  # a stream without prompts out of scope asks the base nothing
        write_atomically(shared, own.read_bytes())


def bench_beside(data: str | Path | Sequence[str | Path], out: Path, **asked: Any) -> Result:
    """A bench into the folder `out`, which shares the reference of the benches beside it."""
    with sharing_reference(out):
        return bench(data, out=out, **asked)


def bench_batches(
    data: str | Path | Sequence[str | Path],
    sizes: Sequence[int],
    *,
    out: str | Path | None = None,
    edits: int | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
    **asked: Any,
) -> dict[int, Result]:
    """Bench the recipe once for each size, and return the results by it; see `bench`.

    `out` keeps each bench in a folder of its own and the page `batch-sizes.html`; asked for again, it carries on.
    Raises UsageError for a recipe that does not solve for batches, and whatever `bench` raises.
    """
    recipe = asked.get("recipe", "default")
    if "batch_size" not in editor_of(read_recipe(recipe)).Dials.model_fields:
        raise UsageError(f"{recipe} does not solve for facts in batches; take a recipe with a method.batch_size")
    if edits is None:
        edits = len(read_stream(data).facts)
    results = {}
    with folder_of(out) as folder, shared_measurements():
        for size in sizes:
            merged = laid_over(overrides or {}, in_batches_of(size, edits))
            kept = {**asked, "edits": edits, "per_job": edits, "overrides": merged, "progress": progress or Silent()}
            results[size] = bench_beside(data, batch_folder(folder, size), **kept)
        write_atomically(folder / "batch-sizes.html", render_batches(results).encode())
    return results


def format_batches(results: Mapping[int, Result]) -> str:
    """A row for each size."""
    rows = _rows(results)
    return "\n".join(columns(list(rows[0]), [list(row.values()) for row in rows]))


def render_batches(results: Mapping[int, Result]) -> str:
    """A self-contained page: each figure over the size, and the table."""
    first = next(iter(results.values()))
    series = [
        Series(name, [(size, _figures(result)[name]) for size, result in sorted(results.items())])
        for name in _FIGURES
        if any(_figures(result)[name] is not None for result in results.values())
    ]
    drawn = line_plot("Answers against batch size", series, x_label="facts solved for at once", share=True, log_x=True)
    rows = _rows(results)
    told = note(f"{first.edits} edits in one job, in batches of each size one after another. Generated exact match.")
    parts = section("Is bigger edit batch size always better?", told, drawn, table(rows, list(rows[0])))
    return page(f"Batch sizes of {first.recipe}", parts)


def _rows(results: Mapping[int, Result]) -> list[dict[str, str]]:
    return [
        {
            "batch size": str(size),
            **{name: share(value) for name, value in _figures(result).items()},
            "s an edit": "-" if result.seconds_per_edit is None else f"{result.seconds_per_edit:.3g}",
            "audit": "passed" if result.bench and all(p.within_limits for p in result.bench.curve) else "failed",
        }
        for size, result in sorted(results.items())
    ]


def _figures(result: Result) -> dict[str, float | None]:
    kinds = result.locality
    local = (kinds.unrelated.agreement, kinds.same_relation.agreement, kinds.same_subject.agreement)
    values = (result.reliability.exact, result.generality.exact, *local, result.retention.exact)
    return dict(zip(_FIGURES, values, strict=True))
