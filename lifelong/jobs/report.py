"""The report of a job: what `run` returns and what `runs/<job>/report.json` keeps.

Figures are of the audit, through the real router, in the metrics form of `eval` and `bench`; a figure the
audit does not measure is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editlog.canonical import canonical_json
from editlog.fact import Fact
from lifelong.evaluation.metrics import Accuracy, Exact, Metrics, Router, peak_mb
from lifelong.files import write_atomically
from policies.admission import Hold

if TYPE_CHECKING:
    from lifelong.jobs.candidates import Verdict

EXIT_CODES = {"published": 0, "nothing-pending": 0, "not-ready": 0, "dry-run": 0, "audit-failed": 4}
EXIT_PARTLY = 3


@dataclass(frozen=True)
class JobReport:
    """What a job did. `failed` and `held` name each fact with the reason; `metrics` is the audit's.

    `left` facts stay pending for the next job, `why` says because of which budget, or why no job began. `findings` are
    what was noticed of facts and kept none of them back (policies/screening.py), `not_admitted` are facts that waited
    for a person when the job began (policies/admission.py).
    """

    job: str | None
    status: str
    resumed: bool
    applied: list[str]
    failed: list[dict[str, str]]
    held: list[dict[str, str]]
    seconds: float
    metrics: Metrics = field(repr=False)
    left: int = 0
    why: str | None = None
    findings: list[dict[str, str]] = field(default_factory=list)
    not_admitted: list[dict[str, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 done, 3 done but some facts failed or were held, 4 audit failed and nothing published."""
        code = EXIT_CODES[self.status]
        return EXIT_PARTLY if code == 0 and (self.failed or self.held) else code

    def to_dict(self) -> dict[str, Any]:
        """The metrics object, with what is the job's own beside it."""
        own = {
            "job": self.job,
            "status": self.status,
            "resumed": self.resumed,
            "applied": len(self.applied),
            "failed": self.failed,
            "held": self.held,
            "seconds": self.seconds,
            "left": self.left,
            "why": self.why,
            "findings": self.findings,
            "not_admitted": self.not_admitted,
        }
        return {**self.metrics.to_dict(), **own}


def job_report(
    job: str,
    *,
    recipe: str,
    model: str,
    facts: Mapping[int, Fact],
    verdict: Verdict,
    resumed: bool,
    seconds: float,
    bytes_written: int,
    left: int,
    why: str | None,
    findings: Mapping[int, Hold],
    not_admitted: Mapping[int, Hold],
) -> JobReport:
    """The report of a job that came to a verdict."""
    report = verdict.report
    applied = len(verdict.accepted)
    metrics = Metrics(
        edits=len(facts),
        recipe=recipe,
        model=model,
        reliability=Accuracy(exact=report.reliability.share),
        retention=Exact(report.retention.share if report.retention.measured else None),
        router=Router(recall=report.routed.share),
        seconds_per_edit=seconds / len(facts) if facts else None,
        bytes_per_edit=bytes_written / applied if applied else None,
        peak_mb=peak_mb(),
        counts={
            "prompts": report.reliability.measured,
            "learned_rephrases": report.learned_rephrases.measured,
            "learned_rephrases_right": report.learned_rephrases.good,
            "near_misses": report.locality.measured,
            "near_misses_as_base": report.locality.good,
            "older_edits": report.retention.measured,
            "older_edits_right": report.retention.good,
        },
    )
    return JobReport(
        job=job,
        status="published" if verdict.passed else "audit-failed",
        resumed=resumed,
        applied=[f"f{seq}" for seq in sorted(verdict.accepted)],
        failed=_reasons(verdict.failed),
        held=_reasons(verdict.held),
        seconds=round(seconds, 3),
        metrics=metrics,
        left=left,
        why=why,
        findings=_holds({seq: hold for seq, hold in findings.items() if seq in facts}),
        not_admitted=_holds(not_admitted),
    )


def idle_report(status: str, recipe: str, model: str, pending: int = 0, why: str | None = None) -> JobReport:
    """The report of a run that had nothing to do, or was only asked what it would do."""
    return JobReport(None, status, False, [], [], [], 0.0, Metrics(pending, recipe, model), pending, why)


def write_report(directory: Path, report: JobReport) -> None:
    """Keep the report in the job's directory."""
    write_atomically(directory / "report.json", canonical_json(report.to_dict()) + b"\n")


def _reasons(failures: Mapping[int, Any]) -> list[dict[str, str]]:
    return [
        {"fact": f"f{seq}", "code": f.code, "reason": f.words, "wording": f.wording, "answer": f.answer.strip()[:200]}
        for seq, f in sorted(failures.items())
    ]


def _holds(holds: Mapping[int, Hold]) -> list[dict[str, str]]:
    return [{"fact": f"f{seq}", "code": hold.code, "reason": hold.reason} for seq, hold in sorted(holds.items())]
