"""After a job: its page, the monitor's file, the hooks. What fails here is a warning, and the job stays as it was."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from editlog.errors import AuditFailed, Busy, LifelongError
from lifelong.files import write_atomically
from lifelong.jobs.hooks import tell

if TYPE_CHECKING:
    from lifelong.jobs.report import JobReport
    from lifelong.workspace import Workspace

P = ParamSpec("P")
_log = logging.getLogger("lifelong.report")


def told(run: Callable[Concatenate[Workspace, P], JobReport]) -> Callable[Concatenate[Workspace, P], JobReport]:
    """A run whose end is told: by the page of its job, to the monitor, to the hooks. A dry run tells nobody.

    Busy is no end: whoever holds the workspace will tell of theirs.
    """

    @functools.wraps(run)
    def telling(workspace: Workspace, /, *args: P.args, **options: P.kwargs) -> JobReport:
        try:
            report = run(workspace, *args, **options)
        except Busy:
            raise
        except Exception as error:
            if not options.get("dry_run"):
                _tell_of_error(workspace, error)
            raise
        if not options.get("dry_run"):
            _tell_of_job(workspace, report)
        return report

    return telling


def _tell_of_job(workspace: Workspace, report: JobReport) -> None:
    if report.job:
        with _never_failing("the job's page was not written"):
            write_job_page(workspace, report.job)
    _refresh_gauges(workspace)
    if report.job:
        hooks = workspace.config.hooks
        stopped = report.exit_code == AuditFailed.exit_code
        message = {
            "job": report.job,
            "status": report.status,
            "exit_code": report.exit_code,
            "applied": len(report.applied),
            "failed": len(report.failed),
            "held": len(report.held),
            "seconds": report.seconds,
        }
        tell(hooks.failure if stopped else hooks.success, _message(workspace, message), workspace.home)


def _tell_of_error(workspace: Workspace, error: Exception) -> None:
    """Of our own errors the sentence, which quotes no fact; of any other its kind alone."""
    known = error if isinstance(error, LifelongError) else LifelongError(type(error).__name__)
    message = {"job": None, "status": "error", "exit_code": known.exit_code, "error": str(known)}
    _refresh_gauges(workspace)
    tell(workspace.config.hooks.failure, _message(workspace, message), workspace.home)


def _message(workspace: Workspace, about: dict[str, Any]) -> dict[str, Any]:
    from editlog.events import moment
    from editlog.store import utc_now

    return {"at": moment(utc_now()), "home": str(workspace.home), **about}


def _refresh_gauges(workspace: Workspace) -> None:
    if workspace.config.prometheus:
        with _never_failing("the monitor's file was not written"):
            workspace.write_prometheus(workspace.home / workspace.config.prometheus)


def write_job_page(workspace: Workspace, job: str) -> None:
    """Write `runs/<job>/report.html`: the job, and the figures of all jobs up to it."""
    from lifelong.reports.page import period_page
    from lifelong.reports.period import period

    found = period(workspace.layout, workspace.reader, job, job)
    page = period_page(found, f"{job} of {workspace.home.name}")
    write_atomically(workspace.layout.runs / job / "report.html", page.encode())


@contextmanager
def _never_failing(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the job is done; nothing that tells of it may undo that
        _log.warning("%s: %s", what, error)
