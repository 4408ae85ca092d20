"""The edit job: plan -> train -> audit -> publish, over everything that is pending.

A job that is killed is taken up by the next `run`: the same facts, the same seed, behind the last finished
wave. Nothing is served before the log's transaction, and nothing is in the log that was not audited.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from editlog.errors import IntegrityError
from editlog.events import Entry
from editlog.fact import Fact
from editlog.history import LoggedFact
from editlog.store import EditLog
from lifelong.audit import Answers, FactCheck, Failure
from lifelong.base import Base
from lifelong.candidates import Candidates, Verdict, unique_experts
from lifelong.experts.pack import read_pack, write_pack
from lifelong.layout import Layout, pack_path
from lifelong.planning import plan_waves, unfinished_job, waiting, wave_groups
from lifelong.publishing import publish, serving_state
from lifelong.report import JobReport, job_report, write_report
from lifelong.reports.logs import name_job
from lifelong.training import Trained, Trainer, fits
from policies.admission import Rules
from policies.recipe import Recipe

EXPERTS_PER_PACK = 4096
TOO_LONG = Failure("too-long", "with its target it is longer than the base's context", "", "")


class Progress(Protocol):
    """Who is told how far a job is: a bar, a log, or nobody."""

    def stage(self, name: str, total: int) -> None:
        """A new stage of `total` units begins."""

    def advance(self, n: int) -> None:
        """`n` more units are done."""

    def done(self) -> None:
        """The last stage is over."""


class Silent:
    """Progress for nobody."""

    def stage(self, name: str, total: int) -> None:
        """Nothing is shown."""

    def advance(self, n: int) -> None:
        """Nothing is shown."""

    def done(self) -> None:
        """Nothing is shown."""


@dataclass(frozen=True)
class Started:
    """A job as its job.started event says: resumed after a kill, or new."""

    job: str
    seed: int
    facts: tuple[int, ...]
    resumed: bool


class Job:
    """One run over pending facts. The caller holds the workspace's job lock."""

    def __init__(
        self,
        layout: Layout,
        log: EditLog,
        base: Base,
        recipe: Recipe,
        *,
        actor: str,
        rules: Rules | None = None,
        reason: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._rules = rules or Rules()
        self._layout = layout
        self._log = log
        self._base = base
        self._recipe = recipe
        self._actor = actor
        self._reason = reason
        self._progress = progress or Silent()

    def run(self, seed: int) -> JobReport | None:
        """Apply what is pending; None where nothing is. `seed` is for a new job; a resumed one keeps its own."""
        clock = time.perf_counter()
        logged = self._log.facts()
        started = _resumed(self._log, self._recipe, self._base) or self._start(logged, seed)
        if started is None:
            return None
        admitted = waiting(self._log, logged, self._rules).facts
        facts = {seq: admitted[seq] for seq in started.facts if seq in admitted}
        too_long = {seq: TOO_LONG for seq, fact in facts.items() if not fits(self._base, fact)}
        fitting = {seq: fact for seq, fact in facts.items() if seq not in too_long}
        name_job(started.job)
        directory = self._layout.runs / started.job
        trainer = Trainer(self._base, self._recipe, directory / "waves", started.seed)
        trained = self._train(trainer, fitting)
        candidates = self._candidates(started, logged)
        verdict = self._audit(candidates, fitting, trained, trainer)
        verdict = replace(verdict, failed={**verdict.failed, **too_long})
        packs = self._publish(started.job, facts, verdict, candidates, clock)
        report = job_report(
            started.job,
            recipe=self._recipe.name,
            model=self._base.name,
            facts=facts,
            verdict=verdict,
            resumed=started.resumed,
            seconds=time.perf_counter() - clock,
            bytes_written=sum(path.stat().st_size for path in packs),
        )
        write_report(directory, report)
        shutil.rmtree(directory / "waves", ignore_errors=True)
        self._progress.done()
        return report

    def _start(self, logged: Sequence[LoggedFact], seed: int) -> Started | None:
        pending = tuple(waiting(self._log, logged, self._rules).facts)
        if not pending:
            return None
        number = len(self._log.events(kinds=["job.started"])) + 1
        started = Started(f"job-{number}", seed, pending, resumed=False)
        body = {
            "facts": list(pending),
            "seed": seed,
            "recipe": self._recipe.name,
            "recipe_digest": self._recipe.digest,
            "base": self._base.fingerprint,
        }
        self._append(started.job, [Entry("job.started", body)])
        return started

    def _train(self, trainer: Trainer, facts: Mapping[int, Fact]) -> dict[int, Trained]:
        self._progress.stage("train", len(facts))
        trained: dict[int, Trained] = {}
        for wave in plan_waves(facts, self._recipe):
            groups = wave_groups(wave, self._recipe)
            trained.update(trainer.fit(facts, groups, advance=self._progress.advance))
        return trained

    def _candidates(self, started: Started, logged: Sequence[LoggedFact]) -> Candidates:
        state = serving_state(self._log)
        return Candidates(
            self._base,
            self._recipe,
            job=started.job,
            seed=started.seed,
            logged=logged,
            state=state,
            packs=[read_pack(self._layout.experts, name) for name in state.packs],
            answers=Answers(self._recipe.audit.max_new_tokens, self._progress.advance),
        )

    def _audit(
        self,
        candidates: Candidates,
        facts: Mapping[int, Fact],
        trained: dict[int, Trained],
        trainer: Trainer,
    ) -> Verdict:
        """Audit, train alone and longer what was not answered, then judge."""
        answers = sum(len(fact.wordings) + 2 * len(fact.near_misses) for fact in facts.values())
        self._progress.stage("audit", answers + len(candidates.sample))
        report = candidates.measure(trained)
        retry = tuple((seq,) for seq, check in report.checks.items() if _not_learnt(check))
        if retry:
            self._progress.stage("retry", len(retry))
            steps = self._recipe.training.retry_steps
            trained = {**trained, **trainer.fit(facts, retry, steps=steps, advance=self._progress.advance)}
            self._progress.stage("audit again", answers + len(candidates.sample))
            report = candidates.measure(trained)
        failed = {
            seq: check.failure for seq, check in report.checks.items() if not check.prompt_right and check.failure
        }
        return candidates.verdict(trained, failed, report)

    def _publish(
        self, job: str, facts: Mapping[int, Fact], verdict: Verdict, candidates: Candidates, clock: float
    ) -> list[Path]:
        """Files first, then one transaction of the log, then the snapshot's rename; the packs written."""
        self._progress.stage("publish", 1)
        audited = {
            "passed": verdict.passed,
            "reliability": verdict.report.reliability.share,
            "locality": verdict.report.locality.share,
            "retention": verdict.report.retention.share,
        }
        entries = [Entry("job.audited", audited)]
        entries += _refused("facts.failed", verdict.failed) + _refused("facts.held", verdict.held)
        packs: list[Path] = []
        for part in _parts(verdict.accepted, EXPERTS_PER_PACK):
            name = write_pack(self._layout.experts, unique_experts(part.values()))
            applied = [{"fact": seq, "expert": trained.expert.hash} for seq, trained in part.items()]
            entries.append(Entry("facts.applied", {"facts": applied, "pack": name}))
            packs.append(pack_path(self._layout.experts, name))
        outcome = {"facts": len(facts), "seconds": round(time.perf_counter() - clock, 3)}
        entries.append(Entry("job.finished" if verdict.passed else "job.failed", outcome))
        self._append(job, entries)
        if packs:  # else what is served has not changed
            state = serving_state(self._log)
            publish(self._layout, state, candidates.gate_over(state.facts))
        self._progress.advance(1)
        return packs

    def _append(self, job: str, entries: Sequence[Entry]) -> None:
        self._log.append(entries, actor=self._actor, reason=self._reason, job=job)


def _resumed(log: EditLog, recipe: Recipe, base: Base) -> Started | None:
    """The unfinished job, where there is one and it can be carried on with this recipe and base."""
    event = unfinished_job(log)
    if event is None:
        return None
    if event.job is None:
        raise IntegrityError(f"event {event.seq} starts a job without a name")
    body: dict[str, Any] = event.body
    if body["recipe_digest"] != recipe.digest or body["base"] != base.fingerprint:
        return None
    return Started(event.job, body["seed"], tuple(body["facts"]), resumed=True)


def _parts(accepted: Mapping[int, Trained], size: int) -> list[dict[int, Trained]]:
    order = sorted(accepted)
    return [{seq: accepted[seq] for seq in order[start : start + size]} for start in range(0, len(order), size)]


def _not_learnt(check: FactCheck) -> bool:
    """Whether the gate did its part and the expert did not: only then does longer training help."""
    return check.failure is not None and check.failure.code == "not-answered"


def _refused(kind: str, failures: Mapping[int, Failure]) -> list[Entry]:
    facts = [{"fact": seq, "reason": f"{f.code}: {f.words}"} for seq, f in sorted(failures.items())]
    return [Entry(kind, {"facts": facts})] if facts else []
