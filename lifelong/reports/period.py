"""What became of a workspace between two positions of its log: plain data for a page, a terminal or a script.

Everything is read from the log, so that a period of years ago reads the same today; only the sizes of packs and what a
job said of itself (`runs/<job>/report.json`) are of the disk, and null where `gc` let them go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editlog.diff import diff
from editlog.errors import UsageError
from editlog.events import moment
from editlog.inquiry import inquire
from editlog.position import AsOf
from editlog.reader import Reader
from lifelong.layout import Layout, pack_path
from lifelong.results import Result

_JOBS = (
    "SELECT job, ended, ended_at, ended_seq, planned, applied, failed, held, reliability, locality, retention, seconds"
    " FROM jobs WHERE started_seq <= $1 ORDER BY started_seq"
)
_GROWTH = (
    "SELECT job, count(DISTINCT expert) AS experts, list(DISTINCT pack) AS packs FROM outcomes"
    " WHERE outcome = 'applied' GROUP BY job"
)
_REFUSED = (
    "SELECT fact, job, outcome, prompt, why FROM outcomes"
    " WHERE outcome <> 'applied' AND seq > $1 AND seq <= $2 ORDER BY seq"
)
_STARTED = "SELECT started_seq FROM jobs WHERE job = $1"


@dataclass(frozen=True)
class Period(Result):
    """A span of the log, after event `from_seq` up to and including `to_seq`.

    `jobs` are those that were under way in it; `history` is every job up to its end, for a plot: `experts` and `bytes`
    written so far (bytes null where a pack is gone). `changes` are prompts whose answer is another (`was` or `is_now`
    null: the base model's), `refused` what a job failed or held and why, `findings` what was noticed of facts that went
    through, `not_admitted` what waited for a person when the last of the jobs began. Seconds are of wall time,
    `peak_mb` is of memory, both of the jobs of the period; null: not known.
    """

    home: str
    from_seq: int
    from_at: str
    to_seq: int
    to_at: str
    jobs: list[dict[str, Any]]
    history: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    not_admitted: list[dict[str, Any]]
    facts: dict[str, int]
    cost: dict[str, float | None]


def period(layout: Layout, log: Reader, since: AsOf, until: AsOf | None = None) -> Period:
    """What happened since a moment, an event or a job (which is in it); raises UsageError for what is not there."""
    first, end = _beginning(log, since), log.position(until)
    changed = diff(log, first, end.seq)
    history = _history(layout, log, end.seq)
    jobs = [job for job in history if job["ended_seq"] is None or job["ended_seq"] > first]
    said = [_said(layout, job["job"]) for job in jobs]
    return Period(
        home=str(layout.home),
        from_seq=changed.from_seq,
        from_at=changed.from_at,
        to_seq=changed.to_seq,
        to_at=moment(end.at),
        jobs=jobs,
        history=history,
        changes=[
            {**one, "by": (one["by"] or {}).get("job") or (one["by"] or {}).get("actor")} for one in changed.answers
        ],
        refused=_with_answers(inquire(log, _REFUSED, [first, end.seq], as_of=end.seq), said),
        findings=[finding for one in said for finding in one.get("findings", ())],
        not_admitted=list(said[-1].get("not_admitted", ())) if said else [],
        facts={
            "added": len(changed.added),
            "superseded": len(changed.superseded),
            "retracted": len(changed.retracted),
            "redacted": len(changed.redacted),
            **{name: sum(job[name] for job in jobs) for name in ("applied", "failed", "held")},
        },
        cost={
            "seconds": round(sum(job["seconds"] or 0.0 for job in jobs), 3),
            "bytes": sum(job["written"] or 0 for job in jobs),
            "peak_mb": max((one["peak_mb"] for one in said if one.get("peak_mb")), default=None),
        },
    )


def _beginning(log: Reader, since: AsOf) -> int:
    """The last event before the period: of a job, the one before it started."""
    if isinstance(since, str):
        for started in inquire(log, _STARTED, [since.strip()]):
            return int(started["started_seq"]) - 1
    try:
        return log.position(since).seq
    except UsageError as error:
        if "nothing before" in str(error):
            return 1
        raise


def _history(layout: Layout, log: Reader, until: int) -> list[dict[str, Any]]:
    """Every job with what it wrote, and how many experts and bytes there were so far."""
    grown = {row["job"]: row for row in inquire(log, _GROWTH, as_of=until)}
    history, experts, total = [], 0, 0
    for job in inquire(log, _JOBS, [until], as_of=until):
        new = grown.get(job["job"], {"experts": 0, "packs": []})
        written = _sizes(layout, new["packs"])
        experts, total = experts + new["experts"], total + (written or 0)
        history.append({**job, "written": written, "experts": experts, "bytes": total})
    return history


def _sizes(layout: Layout, packs: list[str]) -> int | None:
    paths = [pack_path(layout.experts, name) for name in packs if name]
    return sum(path.stat().st_size for path in paths) if all(path.exists() for path in paths) else None


def _said(layout: Layout, job: str) -> Mapping[str, Any]:
    """What a job said of itself; nothing where that is gone or cannot be read."""
    directory = layout.runs / job
    if directory.parent != layout.runs:
        return {}
    try:
        said = json.loads((directory / "report.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _with_answers(refused: list[dict[str, Any]], said: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The wording that failed and what was answered, where the job's own report still says so."""
    known = {one["fact"]: one for report in said for name in ("failed", "held") for one in report.get(name, ())}
    blank = {"wording": None, "answer": None}
    return [{**row, **{key: known.get(row["fact"], blank).get(key) for key in blank}} for row in refused]
