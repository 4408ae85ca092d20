"""One run of the job: the lease, what a crash left, whether there is anything to do, and the job itself."""

from __future__ import annotations

import contextvars
import shutil
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from editlog.store import utc_now
from lifelong.files import make_directory
from lifelong.jobs.planning import unfinished_job, waiting
from lifelong.jobs.progress import Guarded, Progress, Silent, stopped_after
from lifelong.jobs.report import JobReport, idle_report
from policies.admission import Hold
from policies.readiness import not_ready

if TYPE_CHECKING:
    from lifelong.executors import Workers
    from lifelong.workspace import Workspace


def run(
    workspace: Workspace,
    *,
    seed: int,
    workers: Workers | None,
    if_ready: bool,
    actor: str,
    reason: str | None,
    progress: Progress | None,
) -> JobReport:
    """Apply what is pending; see `Workspace.run`."""
    log, recipe, terms = workspace.log, workspace.recipe, workspace.terms
    model, merges, told = workspace.config.model, recipe.merging.policy != "none", progress or Silent()
    with workspace.job_lock(actor) as lease, stopped_after(terms.budget.max_minutes) as in_time:
        from lifelong.snapshots.publishing import catch_up
        from lifelong.snapshots.snapshot import drop_candidate

        log.drain()
        catch_up(workspace.layout, log, recipe)
        drop_candidate(workspace.layout.snapshots)  # of a job that was killed
        if unfinished_job(log) is None:  # nobody carries on what was trained
            for waves in workspace.layout.runs.glob("*/waves"):
                shutil.rmtree(waves, ignore_errors=True)
        found = waiting(log, log.facts(), terms)
        if not found.facts:
            if merges and workspace.layout.merging.exists():  # the last job was killed behind its end
                from lifelong.jobs.merging import merge_as_policy_says

                merge_as_policy_says(workspace, lease, actor=actor, progress=told)
            return idle_report(  # else there is nothing to load a model for
                "nothing-pending", recipe.name, model, len(found.held), _why_held(found.held)
            )
        if if_ready and unfinished_job(log) is None:
            why = not_ready(found.queue, workspace.config.ready, utc_now())
            if why:
                return idle_report("not-ready", recipe.name, model, len(found.facts), why)
        from lifelong.jobs.job import Job
        from lifelong.jobs.merging import merge_as_policy_says

        def check() -> None:
            lease.check()
            in_time()

        job = Job(
            workspace.layout,
            log,
            workspace.own_base(log),
            recipe,
            lease=lease,
            actor=actor,
            terms=terms,
            reason=reason,
            corpus=workspace.corpus,
            workers=workers,
            progress=Guarded(told, check),
        )
        if merges:
            make_directory(workspace.layout.merging)  # a kill from here on leaves a merge owed
        report = contextvars.copy_context().run(job.run, seed) or idle_report("nothing-pending", recipe.name, model)
        merge_as_policy_says(workspace, lease, actor=actor, progress=told)
        return report


def _why_held(held: Mapping[int, Hold]) -> str | None:
    """How many facts wait for a person, and by which rules."""
    codes = Counter(one.code for one in held.values())
    return f"held: {', '.join(f'{count} {code}' for code, count in sorted(codes.items()))}" if codes else None
