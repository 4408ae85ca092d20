"""Every recipe on the same edits, side by side: what docs/COMPARISON.md holds.

    benchmarks/compare.sh [--edits 1000] [--study 4096] [--seed 0] [--recipe NAME ...] [--out build/comparison]
    benchmarks/compare.sh --sequential-batch    # the study of batch sizes alone
    benchmarks/compare.sh --page                # write the page again from what is finished

Three parts, each of runs in processes of their own: the editing step of each recipe (`benchmarks.editing_step`), a
`lifelong bench` of each recipe on each stream, and the study *is bigger edit batch size always better?*, a bench of
each recipe that edits in batches for each size. What is finished is kept under --out, by base model, and the same
command again carries on, a bench from where it was killed; a run that fails is told and tried again the next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.comparison_page import Results, write_page
from lifelong.config import recipe_names
from lifelong.models.base import EMBEDDED, Base
from pretraining.settings import data_folder

STREAMS = {"CounterFact": "counterfact-train.json", "zsRE": "zsre-1500.json"}
STUDIED = ("emmet", "malmen", "memit", "rome")
STEP_EDITS = 128
JOBS = 4
"""A stream is edited by so many jobs, so that there are earlier edits to retain."""


@dataclass(frozen=True)
class Run:
    """One process: its arguments to python -m, where its result is kept, and its place in the page's results."""

    arguments: tuple[str, ...]
    result: Path
    place: tuple[str, ...]

    def finish(self, cache: Path) -> bool:
        """Run it unless it is finished; whether it is now. What recipes learn once per base is kept in `cache`."""
        if self.result.exists():
            return True
        self.result.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *self.arguments],
            env={**os.environ, "LIFELONG_CACHE": str(cache)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and not self.result.exists():
            self.result.write_text(done.stdout, encoding="utf-8")
        end = f"{time.monotonic() - began:.0f} s" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]
        click.echo(f"{' '.join(self.place)}: {end}", err=True)
        return done.returncode == 0


@dataclass(frozen=True)
class Plan:
    """What is compared on what, and the folder where it is kept."""

    recipes: tuple[str, ...]
    edits: int
    study: int
    seed: int
    model: str
    out: Path

    def steps(self) -> Iterator[Run]:
        """The editing step of each recipe, on the first stream."""
        edits = min(self.edits, STEP_EDITS)
        source = data_folder() / next(iter(STREAMS.values()))
        for recipe in self.recipes:
            asked = {"recipe": recipe, "model": self.model, "data": source, "edits": edits}
            result = self.out / f"steps-{edits}" / f"{recipe}.json"
            yield Run(("benchmarks.editing_step", *_options(asked)), result, ("steps", recipe))

    def benches(self) -> Iterator[Run]:
        """Each recipe on each stream."""
        for stream in STREAMS:
            for recipe in self.recipes:
                asked = {"recipe": recipe, "edits": self.edits, "per-job": -(-self.edits // JOBS)}
                yield self._bench(f"{stream}-{self.edits}", stream, asked, (stream, recipe))

    def studies(self) -> Iterator[Run]:
        """Each recipe that edits in batches, in one job, by powers of four up to all edits at once."""
        sizes = [4**power for power in range(8) if 4**power < self.study]
        for recipe in sorted(set(STUDIED) & set(self.recipes)):
            for size in (1,) if recipe == "rome" else (*sizes, self.study):
                dials = (f"method.batch_size={size}", f"grouping.wave={max(32, self.study)}")
                asked = {"recipe": recipe, "edits": self.study, "per-job": self.study, "set": dials}
                yield self._bench(f"study-{self.study}", next(iter(STREAMS)), asked, ("study", recipe, str(size)))

    def _bench(self, folder: str, stream: str, asked: Mapping[str, object], place: tuple[str, ...]) -> Run:
        out = self.out / f"{folder}-seed-{self.seed}" / "-".join(place[1:])
        every = {"model": self.model, "data": data_folder() / STREAMS[stream], "seed": self.seed, "out": out}
        return Run(("lifelong", "bench", *_options({**asked, **every}), "--json"), out / "result.json", place)


def _options(asked: Mapping[str, object]) -> list[str]:
    """A command line's words; an option is repeated for each value of a tuple."""
    words = []
    for name, given in asked.items():
        for value in given if isinstance(given, tuple) else (given,):
            words += [f"--{name}", str(value)]
    return words


@click.command()
@click.option("--edits", default=1000, show_default=True, help="Edits of each stream.")
@click.option("--study", default=4096, show_default=True, help="Edits of the study of batch sizes.")
@click.option("--seed", default=0, show_default=True)
@click.option("--recipe", "recipes", multiple=True, help="A recipe to compare [default: all].")
@click.option("--model", default=EMBEDDED, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="build/comparison", show_default=True)
@click.option("--sequential-batch", is_flag=True, help="Run the study of batch sizes alone.")
@click.option("--page", "only_page", is_flag=True, help="Run nothing; write the page from what is finished.")
def main(
    *,
    edits: int,
    study: int,
    seed: int,
    recipes: tuple[str, ...],
    model: str,
    out: Path,
    sequential_batch: bool,
    only_page: bool,
) -> None:
    """Run what is not finished and write docs/COMPARISON.md; exit code 1 where a run failed."""
    base = Base.load(model).fingerprint.removeprefix("sha256:")[:12]
    names = recipes or tuple(sorted(recipe_names()))
    plan = Plan(names, edits, study, seed, model, out.absolute() / f"base-{base}")
    parts = [plan.studies()] if sequential_batch else [plan.steps(), plan.benches(), plan.studies()]
    runs = [run for part in (plan.steps(), plan.benches(), plan.studies()) for run in part]
    finished = [] if only_page else [run.finish(plan.out / "cache") for part in parts for run in part]
    results = Results.of(base, seed, {run.place: run.result for run in runs if run.result.exists()})
    write_page(results, Path("docs"))
    sys.exit(0 if all(finished) else 1)


if __name__ == "__main__":
    main()
