"""Where the CPU time of a bench goes, part by part and job by job, and how much the model is asked for each edit.

    python -m benchmarks.edit_cost --data FILE [--edits 300] [--per-job 100]

One JSON line a part: CPU seconds of this process by job (parts called within it left out), and for the model itself the
forward passes, rows and positions by job. What is measured behind the last job stands under `end`. A part whose figures
rise from job to job costs more the longer the log is. The reference answers of another process are not in here.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch

import lifelong.benching.run as benching
import lifelong.jobs.job as jobs
from lifelong.anchors.gate import Gate
from lifelong.benching import sequence
from lifelong.editors import lora, parallel
from lifelong.evaluation.guard import ProbeGuard
from lifelong.experts.bank import Bank
from lifelong.jobs import candidates, promotion, running
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.workspace import Workspace

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("ingest", Workspace, "ingest"),
    ("run", running, "run"),
    ("open the served model", Workspace, "edited_model"),
    ("experts in use", Workspace, "experts"),
    ("plan", jobs, "waiting"),
    ("plan", jobs, "plan_waves"),
    ("train: rows", lora, "wave_rows"),
    ("train: fixed activations", parallel, "_chunk"),
    ("train: keys", parallel, "_examples"),
    ("train: steps", lora, "fit_stack"),
    ("keep and read packs", jobs.Trainer, "fit"),
    ("audit", candidates, "audit"),
    ("audit: known to the base", candidates, "_known_by_base"),
    ("gate: build", Gate, "build"),
    ("gate: load", Gate, "load"),
    ("gate: save", Gate, "save"),
    ("gate: route", Gate, "route"),
    ("bank", Bank, "__init__"),
    ("publish", promotion.Promotion, "_write"),
    ("publish", promotion.Promotion, "crown"),
    ("log", jobs.Job, "_append"),
    ("generate", Base, "generate"),
    ("teacher forcing", EditedModel, "target_logits"),
    ("logits", EditedModel, "next_logits"),
    ("bench: guard", ProbeGuard, "check_gate"),
    ("bench: curve", sequence.Jobs, "_ask"),
    ("bench: end", benching, "measure"),
)


class Meter:
    """CPU seconds by part and job, each part without those called within it; and what the model was asked."""

    def __init__(self) -> None:
        self.job = "1"
        self.seconds: dict[str, Counter[str]] = defaultdict(Counter)
        self.asked: dict[str, Counter[str]] = defaultdict(Counter)
        self._stack: list[str] = ["elsewhere"]
        self._since = time.process_time()

    def charge(self) -> None:
        """Book the time since the last call on the part that is running."""
        now = time.process_time()
        self.seconds[self._stack[-1]][self.job] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge what runs within this block to a part."""
        self.charge()
        self._stack.append(name)
        try:
            yield
        finally:
            self.charge()
            self._stack.pop()

    def within(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, charged to a part."""

        @functools.wraps(function)
        def metered(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return metered

    def see(self, rows: int, length: int) -> None:
        """Count one forward pass of the model."""
        inner = "passes to train" if any(name.startswith("train") for name in self._stack) else "passes to answer"
        self.asked[inner][self.job] += 1
        self.asked[inner.replace("passes", "rows")][self.job] += rows
        self.asked[inner.replace("passes", "positions")][self.job] += rows * length


@contextmanager
def metering() -> Iterator[Meter]:
    """Meter every part of this process within the block."""
    meter, put_back = Meter(), []
    for name, place, attribute in PARTS:
        owner = next(each for each in getattr(place, "__mro__", (place,)) if attribute in vars(each))
        own = vars(owner)[attribute]
        put_back.append((owner, attribute, own))
        bare = own.__func__ if isinstance(own, classmethod) else own
        metered = meter.within(name, bare)
        setattr(owner, attribute, classmethod(metered) if isinstance(own, classmethod) else metered)

    def told(_: Base, model: Any, tokenizer: Any, name: str) -> None:
        def see(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids = args[0] if args else kwargs["input_ids"]
            meter.see(*ids.shape)

        model.register_forward_pre_hook(see, with_kwargs=True)
        made(_, model, tokenizer, name)

    made = Base.__init__
    Base.__init__ = told  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        Base.__init__ = made  # type: ignore[method-assign]
        for owner, attribute, own in put_back:
            setattr(owner, attribute, own)


class _JobByJob:
    """Progress that tells the meter which job it is in: each begins with its training."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._number = meter, 0

    def stage(self, name: str, total: int) -> None:
        self._meter.charge()
        if name == "train":
            self._number += 1
            self._meter.job = str(self._number)
        elif name in ("reliability", "locality"):
            self._meter.job = "end"

    def advance(self, count: int) -> None:
        """Not of interest."""

    def done(self) -> None:
        """Not of interest."""


@click.command()
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--recipe", default="default", show_default=True)
@click.option("--edits", default=300, show_default=True)
@click.option("--per-job", default=100, show_default=True)
@click.option("--half", default="tuning", show_default=True, help="Which records are scored.")
def main(**settings: Any) -> None:
    """Print one JSON line for each part."""
    with metering() as meter:
        began = time.process_time()
        result = benching.bench(progress=_JobByJob(meter), **settings)
        meter.charge()
    for table in (meter.seconds, meter.asked):
        for name, by_job in sorted(table.items(), key=lambda item: -sum(item[1].values())):
            told = {job: round(value, 2) for job, value in by_job.items()}
            click.echo(json.dumps({"part": name, "all": round(sum(by_job.values()), 2), **told}))
    click.echo(
        json.dumps(
            {
                "edits": result.edits,
                "cpu_seconds": round(time.process_time() - began, 1),
                "reliability": result.reliability.exact,
                "generality": result.generality.exact,
                "oracle": result.oracle.generality.exact,
                "bytes_per_edit": result.bytes_per_edit,
            }
        )
    )


if __name__ == "__main__":
    main()
