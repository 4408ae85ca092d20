"""The edit job: plan -> train -> audit -> publish, over what is pending as far as its budget goes.

Every stage is an event: job.started, wave.trained, job.audited, then in one transaction what became of each fact and
the job's end. A job that is killed is taken up by the next `run`: the same facts, the same seed, behind the last
finished wave. Nothing is served before the log's transaction, and nothing is in the log that was not audited.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editlog.events import Entry
from editlog.fact import Fact
from editlog.history import LoggedFact
from editlog.store import EditLog
from lifelong.editors.preparation import Corpus
from lifelong.evaluation.metrics import peak_mb
from lifelong.executors import Workers
from lifelong.experts.pack import read_pack
from lifelong.jobs.accumulating import in_rounds, state_in_force, stock, without
from lifelong.jobs.admitting import Terms, findings
from lifelong.jobs.audit import Answers, AuditReport, FactCheck, Failure, questions
from lifelong.jobs.candidates import Candidates, Verdict, unique_experts
from lifelong.jobs.lease import Lease
from lifelong.jobs.planning import Waiting, plan_waves, waiting, wave_groups
from lifelong.jobs.progress import Progress, Silent
from lifelong.jobs.promotion import Promotion, Staged
from lifelong.jobs.report import JobReport, job_report, write_report
from lifelong.jobs.starting import Started, begun, resumed, started_entry
from lifelong.jobs.training import Trained, Trainer, fits
from lifelong.layout import Layout
from lifelong.models.base import Base
from lifelong.reports.logs import name_job
from lifelong.snapshots.publishing import serving_state
from lifelong.verbs.aligning import ensure_shared
from policies.admission import Hold
from policies.budget import Spent, no_room
from policies.recipe import Recipe

TOO_LONG = Failure("too-long", "with its target it is longer than the base's context", "", "")

KNOWN = Hold("known", "the base says its target already")


class Job:
    """One run over pending facts. The caller holds the workspace's lease, which is asked before every write."""

    def __init__(
        self,
        layout: Layout,
        log: EditLog,
        base: Base,
        recipe: Recipe,
        *,
        lease: Lease,
        actor: str,
        terms: Terms | None = None,
        reason: str | None = None,
        corpus: Corpus | None = None,
        workers: Workers | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._terms = terms or Terms()
        self._lease = lease
        self._layout = layout
        self._log = log
        self._base = base
        self._recipe = recipe
        self._actor = actor
        self._reason = reason
        self._corpus = corpus
        self._workers = workers
        self._progress = progress or Silent()
        self._began = time.perf_counter()

    def run(self, seed: int) -> JobReport | None:
        """Apply what is pending; None where nothing is. `seed` is for a new job; a resumed one keeps its own."""
        self._began = time.perf_counter()
        logged = self._log.facts()
        found = waiting(self._log, logged, self._terms)
        started = resumed(self._log, self._recipe, self._base.fingerprint) or self._start(found, seed)
        if started is None:
            return None
        facts = {seq: found.facts[seq] for seq in started.facts if seq in found.facts}
        too_long = {seq: TOO_LONG for seq, fact in facts.items() if not fits(self._base, fact)}
        fitting = {seq: fact for seq, fact in facts.items() if seq not in too_long}
        name_job(started.job)
        directory = self._layout.runs / started.job
        before = state_in_force(self._layout, self._log)
        trainer = Trainer(
            self._base, self._recipe, directory / "waves", started.seed, state=before, corpus=self._corpus
        )
        ensure_shared(
            self._layout,
            self._log,
            self._base,
            trainer.editor,
            seed=started.seed,
            append=lambda entry: self._append(started.job, [entry]),
        )
        trained, no_more = self._train(started, trainer, found, fitting)
        trained = trainer.settled(fitting, trained)
        too_long.update((seq, Failure("not-trained", why, "", "")) for seq, why in trainer.untrained.items())
        taken = {seq: fact for seq, fact in facts.items() if seq in trained or seq in too_long}
        candidates = self._candidates(started, logged, trainer)
        candidates.accumulated = stock(trainer, logged)
        verdict = self._audit(started, candidates, {seq: facts[seq] for seq in trained}, trained, trainer)
        verdict = replace(verdict, failed={**verdict.failed, **too_long})
        verdict, packs = self._publish(started, taken, verdict, candidates)
        report = job_report(
            started.job,
            recipe=self._recipe.name,
            model=self._base.name,
            facts=taken,
            verdict=verdict,
            resumed=started.resumed,
            seconds=time.perf_counter() - self._began,
            bytes_written=sum(path.stat().st_size for path in packs),
            left=len(found.facts) - len(taken),
            why=no_more or _cut(found, started, self._terms),
            findings={**findings(logged), **dict.fromkeys(candidates.known, KNOWN)},
            not_admitted=found.held,
        )
        write_report(directory, report)
        shutil.rmtree(directory / "waves", ignore_errors=True)
        self._progress.done()
        return report

    def _start(self, found: Waiting, seed: int) -> Started | None:
        now = self._log.position().at
        started = begun(self._log, found, self._terms, self._recipe, seed=seed, now=now)
        if started:
            self._append(started.job, [started_entry(started, self._recipe, self._base.fingerprint)])
        return started

    def _train(
        self, started: Started, trainer: Trainer, found: Waiting, facts: Mapping[int, Fact]
    ) -> tuple[dict[int, Trained], str | None]:
        """Wave after wave, those of high priority first; also why there is no room for more, where there is none."""
        self._progress.stage("train", len(facts))
        trained: dict[int, Trained] = {}
        waves = [wave_groups(wave, facts, self._recipe) for wave in plan_waves(found.queue, facts, self._recipe)]
        if self._workers:
            trainer.train_ahead(self._workers, facts, waves, advance=self._progress.advance)
        for groups in waves:
            no_more = no_room(self._spent(started, len(trained)), sum(map(len, groups)), self._terms.budget)
            if no_more:
                return trained, no_more
            fitted = trainer.fit(facts, groups, advance=self._progress.advance)
            if fitted:
                self._tell_wave(started, fitted)
            trained.update(fitted)
        return trained, None

    def _spent(self, started: Started, facts: int) -> Spent:
        packs = (self._layout.runs / started.job / "waves").glob("*.safetensors")
        size = sum(path.stat().st_size for path in packs)
        return Spent(time.perf_counter() - self._began, facts, peak_mb() or 0.0, size)

    def _tell_wave(self, started: Started, fitted: Mapping[int, Trained]) -> None:
        """Append wave.trained, once: a resumed job finds what it had told before."""
        experts = [expert.hash for expert in unique_experts(fitted.values())]
        told = self._log.events(kinds=["wave.trained"], job=started.job) if started.resumed else []
        if not any(event.body["experts"] == experts for event in told):
            self._append(started.job, [Entry("wave.trained", {"experts": experts, "facts": len(fitted)})])

    def _candidates(self, started: Started, logged: Sequence[LoggedFact], trainer: Trainer) -> Candidates:
        state = serving_state(self._log)
        return Candidates(
            self._base,
            self._recipe,
            job=started.job,
            seed=started.seed,
            full=started.full_audit,
            logged=logged,
            state=state,
            packs=[read_pack(self._layout.experts, name) for name in state.packs],
            answers=Answers(self._recipe.audit.max_new_tokens, self._progress.advance),
            editor=trainer.editor,
        )

    def _audit(
        self,
        started: Started,
        candidates: Candidates,
        facts: Mapping[int, Fact],
        trained: dict[int, Trained],
        trainer: Trainer,
    ) -> Verdict:
        """Audit, train alone and longer what was not answered, then judge, and tell the log."""
        answers = questions(facts.values()) + len(candidates.sample)
        self._progress.stage("audit", answers)
        report = candidates.measure(trained)
        retry = tuple((seq,) for seq, check in report.checks.items() if _not_learnt(check))
        if retry and not trainer.editor.accumulates:
            self._progress.stage("retry", len(retry))
            steps = self._recipe.training.retry_steps
            longer = trainer.fit(facts, retry, steps=steps, advance=self._progress.advance)
            self._tell_wave(started, longer)
            trained = {**trained, **longer}
            self._progress.stage("audit again", answers)
            report = candidates.measure(trained)
        failed = _unanswered(report)
        if trainer.editor.accumulates and self._recipe.audit.unanswered == "forget":

            def left_after(gone: Collection[int]) -> dict[int, Failure]:
                nonlocal trained
                trained = without(trainer, facts, trained, gone)
                candidates.accumulated = stock(trainer, candidates.logged)
                return _unanswered(candidates.measure(trained))

            failed = in_rounds(failed, left_after)
        candidates.accumulated = stock(trainer, candidates.logged)
        verdict = candidates.verdict(trained, failed, report)
        audited = {
            "passed": verdict.passed,
            "reliability": verdict.report.reliability.share,
            "locality": verdict.report.locality.share,
            "retention": verdict.report.retention.share,
            "asked": len(candidates.sample),
            "live": candidates.live,
            "full": started.full_audit,
        }
        self._append(started.job, [Entry("job.audited", audited)])
        return verdict

    def _publish(
        self, started: Started, facts: Mapping[int, Fact], verdict: Verdict, candidates: Candidates
    ) -> tuple[Verdict, list[Path]]:
        """@candidate, the suite asked of it, the end of the job in the log, @champion; the packs written."""
        self._progress.stage("publish", 1)
        promotion = Promotion(self._layout, self._log, self._base, candidates)
        with promotion.of(verdict) as staged:
            self._end(started, facts, staged)
            if staged.packs:
                promotion.crown(staged)
        self._progress.advance(1)
        return staged.verdict, staged.packs

    def _end(self, started: Started, facts: Mapping[int, Fact], staged: Staged) -> None:
        """What became of each fact, and of the job, in one transaction."""
        verdict = staged.verdict
        entries = _refused("facts.failed", verdict.failed) + _refused("facts.held", verdict.held) + staged.applied
        seconds = round(time.perf_counter() - self._began, 3)
        size = sum(path.stat().st_size for path in staged.packs)
        outcome = {"facts": len(facts), "seconds": seconds, "bytes": size}
        entries.append(Entry("job.finished" if verdict.passed else "job.failed", outcome))
        self._append(started.job, entries)

    def _append(self, job: str, entries: Sequence[Entry]) -> None:
        self._lease.check()
        self._log.append(entries, actor=self._actor, reason=self._reason, job=job)


def _cut(found: Waiting, started: Started, terms: Terms) -> str | None:
    """Which budget kept facts that waited out of a job from its start."""
    limit = terms.budget.max_facts
    return f"max_facts = {limit}" if limit and len(found.facts) > len(started.facts) else None


def _unanswered(report: AuditReport) -> dict[int, Failure]:
    return {seq: check.failure for seq, check in report.checks.items() if not check.prompt_right and check.failure}


def _not_learnt(check: FactCheck) -> bool:
    """Whether the gate did its part and the expert did not: only then does longer training help."""
    return check.failure is not None and check.failure.code == "not-answered"


def _refused(kind: str, failures: Mapping[int, Failure]) -> list[Entry]:
    facts = [{"fact": seq, "reason": f"{f.code}: {f.words}"} for seq, f in sorted(failures.items())]
    return [Entry(kind, {"facts": facts})] if facts else []
