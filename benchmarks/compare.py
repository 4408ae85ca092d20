"""Every recipe on the same edits, side by side: what docs/COMPARISON.md holds.

    benchmarks/compare.sh [--edits 1000] [--study 256 --study 4096] [--seed 0] [--recipe NAME ...] [--out FOLDER]
    benchmarks/compare.sh --sequential-batch    # the study of batch sizes alone
    benchmarks/compare.sh --page                # write the page again from what is finished
    benchmarks/compare.sh --at-once 8           # eight runs at a time

Three parts, each of runs in processes of their own: a `lifelong bench` of each recipe on each stream, the editing step
of each recipe (`benchmarks.editing_step`), and the study *is bigger edit batch size always better?*, for each recipe
that edits in batches what `lifelong bench --batch-sizes` is. What is finished is kept under --out, by base model, and
the same command again carries on, a bench from where it was killed; a run that fails is told and tried again the next
time. The figures of all that was ever finished stand in docs/comparison/results.jsonl, and the page is made of those.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.comparison_page import Place, Results, study_place, write_page
from benchmarks.editing_step import editing_step
from editlog.errors import LifelongError
from lifelong.benching.batches import batch_folder, bench_batches, bench_beside, sharing_reference
from lifelong.config import recipe_names
from lifelong.editors.preparation import CACHE_VARIABLE
from lifelong.files import write_atomically
from lifelong.models.base import EMBEDDED, Base
from pretraining.settings import data_folder

STREAMS = {"CounterFact": "counterfact-train.json", "zsRE": "zsre-1500.json"}
STUDIED = ("emmet", "malmen", "memit", "rome")
STEP_EDITS = 128
JOBS = 2
"""A stream is edited by so many jobs, so that there are earlier edits to retain."""


@dataclass(frozen=True)
class Run:
    """One run: what is called with what, and where its results are kept, by their places on the page."""

    action: Callable[..., object]
    arguments: Mapping[str, Any]
    results: Mapping[Place, Path]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(path.exists() for path in self.results.values())

    def finish(self) -> bool:
        """Run it here unless it is finished; whether it is now."""
        if self.finished:
            return True
        began, end = time.monotonic(), "done"
        try:
            self.action(**self.arguments)
        except (LifelongError, RuntimeError, ValueError, ArithmeticError) as error:
            end = f"failed: {error}"
        click.echo(f"{' '.join(next(iter(self.results))[:2])}: {end} after {time.monotonic() - began:.0f} s", err=True)
        return self.finished


def run_step(result: Path, **asked: Any) -> None:
    """The editing step of a recipe, with nothing prepared before; the figures are kept in `result`."""
    result.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lifelong-cache-") as cache:
        os.environ[CACHE_VARIABLE] = cache
        write_atomically(result, json.dumps(editing_step(**asked)).encode())


def run_study(out: Path, **asked: Any) -> None:
    """A bench for each batch size, in one process; the untouched base is asked once for all studied recipes."""
    with sharing_reference(out):
        bench_batches(out=out, **asked)


@dataclass(frozen=True)
class Plan:
    """What is compared on what, and the folder where it is kept."""

    recipes: tuple[str, ...]
    edits: int
    studied: tuple[int, ...]
    seed: int
    model: str
    out: Path

    def steps(self) -> Iterator[Run]:
        """The editing step of each recipe, on the first stream."""
        edits = min(self.edits, STEP_EDITS)
        for recipe in self.recipes:
            result = self.out / f"steps-{edits}" / f"{recipe}.json"
            asked = {"recipe": recipe, "model": self.model, "data": _source(next(iter(STREAMS))), "edits": edits}
            yield Run(run_step, {**asked, "result": result}, {("steps", recipe): result})

    def benches(self) -> Iterator[Run]:
        """Each recipe on each stream."""
        for stream in STREAMS:
            for recipe in self.recipes:
                asked = {"recipe": recipe, "edits": self.edits, "per_job": -(-self.edits // JOBS)}
                out = self.out / f"{stream}-{self.edits}-seed-{self.seed}" / recipe
                yield Run(
                    bench_beside, {**asked, **self._every(stream), "out": out}, {(stream, recipe): out / "result.json"}
                )

    def studies(self) -> Iterator[Run]:
        """Each recipe that edits in batches, in one job, by powers of four up to all edits at once."""
        for edits in self.studied:
            powers = [4**power for power in range(8) if 4**power < edits]
            for recipe in sorted(set(STUDIED) & set(self.recipes)):
                sizes = (1,) if recipe == "rome" else (*powers, edits)
                asked = {"recipe": recipe, "sizes": sizes, "edits": edits, **self._every(next(iter(STREAMS)))}
                out = self.out / f"study-{edits}-seed-{self.seed}" / recipe
                places = {size: study_place(edits, recipe, size) for size in sizes}
                results = {place: batch_folder(out, size) / "result.json" for size, place in places.items()}
                yield Run(run_study, {**asked, "out": out}, results)

    def _every(self, stream: str) -> dict[str, Any]:
        return {"model": self.model, "data": _source(stream), "seeds": (self.seed,)}


def _source(stream: str) -> Path:
    return data_folder() / STREAMS[stream]


@click.command()
@click.option("--edits", default=1000, show_default=True, help="Edits of each stream.")
@click.option(
    "--study", "studied", multiple=True, default=(256, 4096), show_default=True, help="Edits of a study of batch sizes."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--recipe", "recipes", multiple=True, help="A recipe to compare [default: all].")
@click.option("--model", default=EMBEDDED, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="build/comparison", show_default=True)
@click.option("--at-once", default=1, show_default=True, help="Processes at a time; each run has one of its own.")
@click.option("--sequential-batch", is_flag=True, help="Run the study of batch sizes alone.")
@click.option("--page", "only_page", is_flag=True, help="Run nothing; write the page from what is finished.")
def main(
    *,
    edits: int,
    studied: tuple[int, ...],
    seed: int,
    recipes: tuple[str, ...],
    model: str,
    out: Path,
    at_once: int,
    sequential_batch: bool,
    only_page: bool,
) -> None:
    """Run what is not finished and write docs/COMPARISON.md; exit code 1 where a run failed."""
    base = Base.load(model).fingerprint.removeprefix("sha256:")[:12]
    plan = Plan(recipes or tuple(recipe_names()), edits, studied, seed, model, out.absolute() / f"base-{base}")
    everything = [run for part in (plan.benches(), plan.steps(), plan.studies()) for run in part]
    asked = [] if only_page else list(plan.studies()) if sequential_batch else everything
    os.environ[CACHE_VARIABLE] = str(plan.out / "cache")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.editing_step", "lifelong.benching.batches"])
    with ProcessPoolExecutor(at_once, mp_context=context, max_tasks_per_child=1) as pool:
        finished = list(pool.map(Run.finish, asked))
    results = {place: path for run in everything for place, path in run.results.items() if path.exists()}
    write_page(Results.of(base, seed, results, Path("docs")), Path("docs"))
    sys.exit(0 if all(finished) else 1)


if __name__ == "__main__":
    main()
