"""The stream through a real workspace, job after job, and what is measured behind each of them."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import lifelong
from editlog.fact import Fact, Probes
from lifelong.benching.kept import Kept
from lifelong.benching.result import Again, Age, Point
from lifelong.benching.work import counting
from lifelong.evaluation.edited import MAX_NEW_TOKENS
from lifelong.evaluation.guard import ProbeGuard
from lifelong.evaluation.interleaving import edited_again
from lifelong.evaluation.metrics import is_exact
from lifelong.evaluation.predictions import Measure, Prediction, figures
from lifelong.evaluation.probes import collect
from lifelong.evaluation.run import bytes_an_edit
from lifelong.evaluation.stream import Stream
from lifelong.files import write_atomically
from lifelong.models.edited import EditedModel
from policies.audit import Limits, Score

if TYPE_CHECKING:
    from lifelong.experts.bank import Route
    from lifelong.jobs.progress import Progress
    from lifelong.jobs.report import JobReport
    from lifelong.workspace import Workspace

LEAST_PER_JOB, MOST_JOBS = 500, 10
SPAN = 500
"""The edits of one row of retention by age, at most; a job of fewer has a row of its own."""
_ACTOR = "bench"

Measured = Callable[[EditedModel], EditedModel]
Job = Mapping[str, Any]
"""What was kept of a job: its `point`, which facts were `right` behind it, by digest, its `status`, who `failed`, and
which probes were `withheld` from what was made of two facts."""


def job_sizes(edits: int, per_job: int | None) -> list[int]:
    """How many edits each job takes: `per_job`, or else 500 and more, so that there are at most ten jobs."""
    size = per_job or max(LEAST_PER_JOB, -(-edits // MOST_JOBS))
    return [min(size, edits - start) for start in range(0, edits, size)]


def make_workspace(kept: Kept, *, model: str, recipe: str, overrides: Mapping[str, Any]) -> Workspace:
    """The bench's own workspace, made at the first call; `overrides` of the recipe's dials, section by section."""
    home = kept.directory / "home"
    config = home / "lifelong.toml"
    if not config.exists():
        shutil.rmtree(home, ignore_errors=True)  # killed while it was made
        lifelong.init(home, model=model, recipe=recipe, actor=_ACTOR)
    made = lifelong.open(home)
    if overrides and not made.config.overrides:
        write_atomically(config, config.read_bytes() + _as_toml(overrides).encode())
        made = lifelong.open(home)
    return made


def _as_toml(overrides: Mapping[str, Any]) -> str:
    return "".join(
        f"\n[overrides.{section}]\n" + "".join(f"{dial} = {json.dumps(value)}\n" for dial, value in dials.items())
        for section, dials in overrides.items()
    )


class Jobs:
    """Edits a stream in sequence; each finished job and what was measured behind it are kept."""

    def __init__(
        self,
        workspace: Workspace,
        stream: Stream,
        guard: ProbeGuard,
        kept: Kept,
        *,
        seed: int,
        limits: Limits,
        measured: Measured,
    ) -> None:
        self._workspace, self._stream, self._guard = workspace, stream, guard
        self._kept, self._seed, self._limits, self._measured = kept, seed, limits, measured
        self._answers: dict[tuple[str, str, tuple[str, ...]], str] = {}

    def run(self, sizes: Sequence[int], progress: Progress | None = None) -> list[Job]:
        """Run the jobs; of each its point of the curve, and which scored facts were answered (by digest)."""
        done: list[Job] = []
        behind = 0
        for number, size in enumerate(sizes, 1):
            first, behind = behind, behind + size
            done.append(self._kept.json(f"job-{number}", partial(self._job, first, behind, progress)))
        return done

    def _job(self, first: int, behind: int, progress: Progress | None) -> dict[str, Any]:
        """Ingest and run the edits [first, behind), without their probes: a job cannot learn what it is not given."""
        base = self._workspace.load_base()
        began = time.perf_counter()
        records = (fact.model_copy(update={"probes": Probes()}) for fact in self._stream.facts[first:behind])
        given = "".join(json.dumps(fact.record(), ensure_ascii=False) + "\n" for fact in records)
        with self._guard.watching(base) as left_out, counting(base) as work:
            self._workspace.ingest(io.BytesIO(given.encode()), actor=_ACTOR)
            reports = self._run_all(progress)
            seconds = time.perf_counter() - began
            served = self._workspace.edited_model()
            self._guard.check_gate(served.gate)
        whole = all(report.job is not None and not report.resumed for report in reports)
        predictions, facts = self._ask(self._measured(served), behind)
        found = figures(predictions)
        point = Point(
            seed=self._seed,
            edits=behind,
            reliability=found["reliability.exact"],
            generality=found["generality.exact"],
            recall=found["router.recall"],
            precision=found["router.precision"],
            right_fact=found["router.right_fact"],
            seconds_per_edit=seconds / (behind - first) if whole else None,
            passes_per_edit=work.passes / (behind - first) if whole else None,
            rows_per_edit=work.rows / (behind - first) if whole else None,
            bytes_per_edit=bytes_an_edit(self._workspace.experts()),
            within_limits=all(self._holds(report) for report in reports),
        )
        right = {facts[p.fact].digest: p.exact for p in predictions if p.measure == "reliability"}
        refused = [each for report in reports for each in (*report.failed, *report.held)]
        return {
            "point": asdict(point),
            "right": right,
            "status": reports[-1].status,
            "failed": [{"code": each["code"], "reason": each["reason"]} for each in refused],
            "withheld": sorted(left_out),
        }

    def _run_all(self, progress: Progress | None) -> list[JobReport]:
        """Run until nothing is left: a budget in the recipe's or the workspace's settings may cut a job short.

        What `Workspace.run` does, but for the page of each job, which nobody would read and whose plots take seconds.
        """
        from lifelong.jobs.running import run

        made = self._workspace
        reports: list[JobReport] = []
        while not reports or (reports[-1].left and reports[-1].applied):
            reports.append(
                run(
                    made,
                    seed=self._seed,
                    workers=made.workers(),
                    if_ready=False,
                    actor=_ACTOR,
                    reason=None,
                    progress=progress,
                )
            )
        return reports

    def _holds(self, report: JobReport) -> bool:
        """What the audit would have said, had it had the recipe's limits."""
        counted = report.metrics.counts
        locality = Score(counted.get("near_misses_as_base", 0), counted.get("near_misses", 0))
        retention = Score(counted.get("older_edits_right", 0), counted.get("older_edits", 0))
        return self._limits.held_by(locality, retention)

    def _ask(self, edited: EditedModel, behind: int) -> tuple[list[Prediction], tuple[Fact, ...]]:
        """Every scored fact of the stream so far, its rephrases, and where its prompts out of scope are routed."""
        probes = collect(self._stream.facts[:behind], scored=self._stream.is_scored, truths=self._stream.truths)
        served = [edited.fact_of(fact) for fact in probes.facts]
        asked = [(index, fact.prompt, fact.target) for index, fact in enumerate(probes.facts)]
        rephrased = [(item.fact, item.prompt, item.answer or "") for item in probes.generality]
        found: list[Prediction] = []
        in_scope: tuple[tuple[Measure, list[tuple[int, str, str]]], ...] = (
            ("reliability", asked),
            ("generality", rephrased),
        )
        for measure, rows in in_scope:
            prompts = [prompt for _, prompt, _ in rows]
            routes = edited.route(prompts)
            for (index, prompt, wanted), route, text in zip(
                rows, routes, self._generate(edited, prompts, routes), strict=True
            ):
                exact = is_exact(text, wanted)
                found.append(Prediction(measure, index, prompt, text, exact=exact, sent=route.fact, own=served[index]))
        for kind, items in probes.locality.items():
            routes = edited.route([item.prompt for item in items])
            found += [
                Prediction("locality", item.fact, item.prompt, "", kind=kind, sent=route.fact)
                for item, route in zip(items, routes, strict=True)
            ]
        return found, probes.facts

    def _generate(self, edited: EditedModel, prompts: Sequence[str], routes: Sequence[Route]) -> list[str]:
        """The answers on the way; one that the same experts gave behind an earlier job is not generated again.

        The figures at the end are of answers that are all generated then.
        """
        if not edited.router.scoped:
            return edited.generate(prompts, routes=routes, max_new_tokens=MAX_NEW_TOKENS)
        keys = [(prompt, route.note, route.slots) for prompt, route in zip(prompts, routes, strict=True)]
        hashes = {slot: expert for expert, slot in edited.bank.slot_of.items()}
        named = [(prompt, note, tuple(hashes[slot] for slot in slots)) for prompt, note, slots in keys]
        new = {key: i for i, key in enumerate(named) if key not in self._answers}
        texts = edited.generate(
            [prompts[i] for i in new.values()],
            routes=[routes[i] for i in new.values()],
            max_new_tokens=MAX_NEW_TOKENS,
        )
        self._answers.update(zip(new, texts, strict=True))
        return [self._answers[key] for key in named]


def ages(jobs: Sequence[Job], stream: Stream, end: Mapping[str, bool], seed: int) -> list[Age]:
    """How the edits of the stream, span by span, were answered right behind their job, and are at the end.

    `end`: whether a scored fact is answered at the end, by digest.
    """
    found = []
    for job, first, behind in _spans(jobs):
        right = job["right"]
        own = [digest for digest in _digests(stream, first, behind) if digest in end and digest in right]
        then, now = _share([right[digest] for digest in own]), _share([end[digest] for digest in own])
        found.append(Age(seed, first + 1, behind, len(own), then, now))
    return found


def retention(jobs: Sequence[Job], stream: Stream, end: Mapping[str, bool]) -> float | None:
    """Of the scored facts answered right behind their own job, which others followed: the share answered at the end.

    None where there was one job only. What the stream has superseded since is left out.
    """
    last = jobs[-1]["point"]["edits"]
    return _share(
        [
            end[digest]
            for job, first, behind in _spans(jobs)
            for digest in _digests(stream, first, behind)
            if job["point"]["edits"] < last and job["right"].get(digest) and digest in end
        ]
    )


def latest_wins(stream: Stream, end: Mapping[str, bool]) -> Again:
    """How many scored facts contradict what their key was edited to before, and how many of them win at the end."""
    again = [right for digest in edited_again(stream.facts) if (right := end.get(digest)) is not None]
    return Again(len(again), _share(again))


def _spans(jobs: Sequence[Job]) -> Iterator[tuple[Job, int, int]]:
    """The edits [first, behind) of each job, cut to spans."""
    first = 0
    for job in jobs:
        last = job["point"]["edits"]
        for start in range(first, last, SPAN):
            yield job, start, min(start + SPAN, last)
        first = last


def _digests(stream: Stream, first: int, behind: int) -> list[str]:
    return list(dict.fromkeys(fact.digest for fact in stream.facts[first:behind]))


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
