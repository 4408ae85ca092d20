"""`bench`: a recipe over a stream of edits, once for each seed, and the whole measurement as one result.

Everything that was finished is kept in the folder of the bench, so that one that was killed carries on. The jobs are
those of `run`, in a workspace of the bench's own; what is asked of the edited model at the end is generated then.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from editlog.errors import UsageError
from lifelong.benching.ablations import ABLATIONS, ablated_dials, without_thresholds
from lifelong.benching.extras import EXTRAS, Extras
from lifelong.benching.kept import Kept
from lifelong.benching.page import render
from lifelong.benching.result import SCHEMA, Data, Details, Disk, Point, Result
from lifelong.benching.sequence import Job, Jobs, ages, job_sizes, latest_wins, make_workspace, retention
from lifelong.config import read_recipe
from lifelong.evaluation.edited import MAX_NEW_TOKENS
from lifelong.evaluation.guard import ProbeGuard
from lifelong.evaluation.harness import counts, measure
from lifelong.evaluation.metrics import Exact, Metrics, peak_mb
from lifelong.evaluation.predictions import Prediction, figures, intervals, nested
from lifelong.evaluation.probes import ProbeSet, collect
from lifelong.evaluation.reference import PlainBase, Remembered
from lifelong.evaluation.run import bytes_an_edit
from lifelong.evaluation.stream import Half, Stream, read_stream
from lifelong.files import write_atomically
from lifelong.jobs.progress import Silent
from lifelong.models.edited import EditedModel
from policies.audit import Limits
from policies.recipe import laid_over

if TYPE_CHECKING:
    from lifelong.jobs.progress import Progress
    from lifelong.workspace import Workspace


@dataclass(frozen=True)
class Settings:
    """What is benched: a recipe with some dials overridden and some parts left out, on a model."""

    recipe: str = "default"
    model: str = "embedded"
    seeds: tuple[int, ...] = (0,)
    per_job: int | None = None
    ablate: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    pools: tuple[Path, ...] = ()
    text: Path | None = None

    @property
    def dials(self) -> dict[str, Any]:
        """Every dial that differs from the recipe's own, section by section."""
        return laid_over(ablated_dials(self.ablate, read_recipe(self.recipe)), self.overrides)

    @property
    def limits(self) -> Limits:
        """What the audit of each job is held against."""
        audit = read_recipe(self.recipe, overrides=self.dials).audit
        return Limits(audit.locality, audit.retention)

    @property
    def unlimited(self) -> dict[str, Any]:
        """The dials with an audit that only measures, so that a stream goes on where a method loses or spoils facts.

        What is not answered stays in weights that facts share, as in the papers: taken out, the rest would look better.
        """
        return laid_over(self.dials, {"audit": {"locality": 0.0, "retention": 0.0, "unanswered": "keep"}})

    def measured(self, edited: EditedModel) -> EditedModel:
        """The model whose answers are measured: the published one, unless its gate is ablated."""
        return without_thresholds(edited) if "gate" in self.ablate else edited

    def check(self) -> None:
        """Raise UsageError for names that there are none of, and for dials that cannot be."""
        for name, known in (*((each, ABLATIONS) for each in self.ablate), *((each, EXTRAS) for each in self.extras)):
            if name not in known:
                raise UsageError(f"there is no {name!r} here; there are: {', '.join(known)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError("each seed is benched once; give different ones")
        read_recipe(self.recipe, overrides=self.dials)


@dataclass(frozen=True)
class _Seeded:
    """What one seed gave."""

    seed: int
    workspace: Workspace
    jobs: list[Job]
    predictions: list[Prediction]
    metrics: Metrics
    disk: Disk


def bench(
    data: str | Path | Sequence[str | Path],
    *,
    edits: int | None = None,
    half: Half = "test",
    repeats: int = 0,
    contradictions: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Edit with the first `edits` records of a file (None: all) in sequence, and measure everything.

    Several files are interleaved; so many `repeats` and `contradictions` are put among their records
    (`evaluation.interleaving`).

    `settings` are the fields of `Settings`. `out` is a folder to keep it all in: the workspaces, `result.json`,
    `report.html` and, for each seed, `predictions.jsonl`; asked for again, a bench there carries on. Without it
    everything is made in a temporary folder.

    Raises UsageError for a file, recipe, dial or folder that cannot be used, LeakError where a probe was learnt from.
    """
    chosen = Settings(**settings)
    chosen.check()
    stream = read_stream(data, edits=edits, half=half, repeats=repeats, contradictions=contradictions)
    found = len(stream.facts) + stream.rejected
    if edits is not None and found < edits:
        raise UsageError(f"{stream.name} has {found} records, not {edits}; ask for --edits {found}")
    with folder_of(out) as folder:
        kept = Kept(folder)
        kept.claim(_spec(stream, chosen))
        told = progress or Silent()
        result = _Bench(stream, chosen, kept, _Ongoing(told)).result()
        told.done()
        return result


class _Ongoing:
    """Progress of a whole bench: the end of one of its jobs or measurements is not the end."""

    def __init__(self, inner: Progress) -> None:
        self.stage, self.advance = inner.stage, inner.advance

    def done(self) -> None:
        """More will follow."""


class _Bench:
    """One bench under way."""

    def __init__(self, stream: Stream, settings: Settings, kept: Kept, progress: Progress) -> None:
        self._stream, self._settings, self._kept, self._progress = stream, settings, kept, progress
        self._probes: ProbeSet = collect(stream.facts, scored=stream.is_scored, truths=stream.truths)
        self._guard = ProbeGuard(self._probes)

    def result(self) -> Result:
        """Everything of every seed, as one object; also written down."""
        self._guard.check_lessons(self._stream.facts)
        seeds = [self._seeded(seed) for seed in self._settings.seeds]
        result = self._joined(seeds)
        told, page = self._kept.directory / "result.json", self._kept.directory / "report.html"
        content = json.dumps(result.to_dict(), ensure_ascii=False, indent=2).encode()
        if not (page.exists() and told.exists() and told.read_bytes() == content):  # its plots take seconds
            write_atomically(page, render(result).encode())
            write_atomically(told, content)
        return result

    def _seeded(self, seed: int) -> _Seeded:
        settings, kept = self._settings, self._kept.within(f"seed-{seed}")
        workspace = make_workspace(kept, model=settings.model, recipe=settings.recipe, overrides=settings.unlimited)
        jobs = Jobs(
            workspace, self._stream, self._guard, kept, seed=seed, limits=settings.limits, measured=settings.measured
        ).run(job_sizes(len(self._stream.facts), settings.per_job), self._progress)
        rows = kept.lines("predictions", lambda: self._measure(workspace))
        predictions = [Prediction(**row) for row in rows]
        end = _end(predictions, self._probes)
        cost = kept.json("cost", lambda: self._cost(workspace))
        served = kept.json("served", lambda: [workspace.edited_model().fact_of(fact) for fact in self._probes.facts])
        metrics = Metrics(
            edits=self._probes.records,
            recipe=settings.recipe,
            model=settings.model,
            retention=Exact(retention(jobs, self._stream, end)),
            governed_probes=self._probes.governed.total(),
            seconds_per_edit=_seconds(jobs),
            bytes_per_edit=cost["bytes_per_edit"],
            peak_mb=cost["peak_mb"],
            counts={
                **counts(self._probes, served),
                "rejected": self._stream.rejected,
                "failed": sum(len(job["failed"]) for job in jobs),
                "withheld": len({probe for job in jobs for probe in job["withheld"]}),
            },
            **nested(figures(predictions)),
        )
        return _Seeded(seed, workspace, jobs, predictions, metrics, Disk(**cost["disk"]))

    def _reference(self, workspace: Workspace) -> Remembered:
        """The untouched base by plain transformers, its answers kept beside the seeds for all of them."""
        base = workspace.load_base()
        how = (base.model.dtype, base.device, torch.get_num_threads(), MAX_NEW_TOKENS, base.chat)
        identity = " ".join(map(str, (base.fingerprint, *how)))
        return Remembered(PlainBase(base), self._kept.directory / "reference.jsonl", identity=identity)

    def _measure(self, workspace: Workspace) -> Iterator[dict[str, Any]]:
        edited = self._settings.measured(workspace.edited_model())
        found = measure(edited, self._probes, reference=self._reference(workspace), progress=self._progress)
        return (prediction.to_dict() for prediction in found.predictions)

    def _cost(self, workspace: Workspace) -> dict[str, Any]:
        experts = workspace.experts()
        edits = sum(len(row.facts) for row in experts)
        sizes = {
            "experts_per_edit": _bytes_under(workspace.layout.experts) / edits if edits else None,
            "snapshot_per_edit": _bytes_under(_served_folder(workspace)) / edits if edits else None,
        }
        return {"bytes_per_edit": bytes_an_edit(experts), "peak_mb": peak_mb(), "disk": sizes}

    def _joined(self, seeds: Sequence[_Seeded]) -> Result:
        """Figures over the predictions of all seeds: each seed asked the same rows, so these are their means."""
        settings, stream, first = self._settings, self._stream, seeds[0]
        predictions = [prediction for one in seeds for prediction in one.predictions]
        details = Details(
            schema=SCHEMA,
            data=Data(stream.name, stream.digest, stream.half, stream.rejected),
            seeds=list(settings.seeds),
            ablated=list(settings.ablate),
            overrides=settings.dials,
            environment=_environment(),
            intervals=intervals(predictions),
            by_seed=[one.metrics for one in seeds],
            curve=[Point(**job["point"]) for one in seeds for job in one.jobs],
            retention_by_age=[
                age for one in seeds for age in ages(one.jobs, stream, _end(one.predictions, self._probes), one.seed)
            ],
            edited_again=[latest_wins(stream, _end(one.predictions, self._probes)) for one in seeds],
            disk=first.disk,
        )
        details = replace(details, **self._extras(first).measured())
        shared = {
            name: getattr(first.metrics, name) for name in ("edits", "recipe", "model", "governed_probes", "counts")
        }
        return Result(
            **shared,
            retention=Exact(_mean([one.metrics.retention.exact for one in seeds])),
            seconds_per_edit=_mean([one.metrics.seconds_per_edit for one in seeds]),
            bytes_per_edit=_mean([one.metrics.bytes_per_edit for one in seeds]),
            peak_mb=max(one.metrics.peak_mb or 0.0 for one in seeds),
            bench=details,
            **nested(figures(predictions)),
        )

    def _extras(self, one: _Seeded) -> Extras:
        return Extras(
            self._settings,
            lambda: self._settings.measured(one.workspace.edited_model()),
            lambda: self._reference(one.workspace),
            facts=self._stream.facts,
            probes=self._probes,
            seed=one.seed,
            kept=self._kept.within(f"seed-{one.seed}"),
            progress=self._progress,
        )


def _end(predictions: Sequence[Prediction], probes: ProbeSet) -> dict[str, bool]:
    """Whether each scored fact was answered exactly at the end, by its digest."""
    return {probes.facts[p.fact].digest: bool(p.exact) for p in predictions if p.measure == "reliability"}


def _seconds(jobs: Sequence[Job]) -> float | None:
    """Seconds an edit over all jobs; None where one of them was resumed, since a part of it was not timed."""
    behind, total = 0, 0.0
    for job in jobs:
        seconds = job["point"]["seconds_per_edit"]
        if seconds is None:
            return None
        total += seconds * (job["point"]["edits"] - behind)
        behind = job["point"]["edits"]
    return total / behind if behind else None


def _mean(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured and len(measured) == len(values) else None


def _bytes_under(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _served_folder(workspace: Workspace) -> Path:
    from lifelong.snapshots.snapshot import published_id

    return workspace.layout.snapshots / published_id(workspace.layout.snapshots)


def _environment() -> dict[str, str | int | None]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "platform": sys.platform,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _spec(stream: Stream, settings: Settings) -> dict[str, Any]:
    """What a folder's bench must have in common with the one that carries it on; extras may be added later."""
    asked = asdict(settings)
    for added in ("extras", "pools", "text", "seeds"):
        asked.pop(added)
    told: dict[str, Any] = json.loads(json.dumps({**asked, "stream": stream.digest}))
    return told


@contextlib.contextmanager
def folder_of(out: str | Path | None) -> Iterator[Path]:
    """The folder that was asked for, else one for the time being."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="lifelong-bench-") as made:
        yield Path(made)
