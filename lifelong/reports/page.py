"""The page of a period: what changed, what did not and why, how well, how large, at what cost."""

from __future__ import annotations

from typing import Any

from lifelong import formatting
from lifelong.reports import html
from lifelong.reports.html import Html
from lifelong.reports.period import Period
from lifelong.reports.plots import Series, line_plot

MAX_ROWS = 200
MAX_JOBS = 365
BASE = "(the base model)"


def period_page(found: Period, title: str) -> str:
    """A self-contained page; long tables are cut, which they say, and `lifelong report --json` has all of them."""
    return html.page(
        title,
        _summary(found),
        html.section("What changed", _changes(found)),
        html.section("What was held or failed, and why", _refused(found), *_noticed(found)),
        html.section("Audit", *_audit(found)),
        html.section("Growth", *_growth(found)),
        html.section("Cost", *_cost(found)),
    )


def _summary(found: Period) -> Html:
    last = found.jobs[-1] if found.jobs else None
    ended = (
        html.element("strong", last["ended"], class_="good" if last["ended"] == "finished" else "bad") if last else None
    )
    return html.pairs(
        {
            "workspace": found.home,
            "from": f"{formatting.when(found.from_at)} UTC, event {found.from_seq:,}",
            "to": f"{formatting.when(found.to_at)} UTC, event {found.to_seq:,}",
            "jobs": len(found.jobs),
            "last_job": Html(f"{html.escape(last['job'])}: {ended}") if last else "none",
            "facts": found.facts,
        }
    )


def _changes(found: Period) -> Html:
    rows = [
        {
            "prompt": one["prompt"],
            "before": BASE if one["was"] is None else one["was"],
            "after": BASE if one["is_now"] is None else one["is_now"],
            "fact": one["fact"] or one["was_fact"],
            "by": one["by"],
        }
        for one in found.changes
    ]
    return cut(rows, ("prompt", "before", "after", "fact", "by"))


def _refused(found: Period) -> Html:
    return cut(found.refused, ("fact", "job", "outcome", "why", "prompt", "wording", "answer"))


def _noticed(found: Period) -> list[Html]:
    """What waits for a person, and what went through though it is odd."""
    parts = (
        ("Not admitted, and waiting for a person (`lifelong approve`, `reject`, `source resume`):", found.not_admitted),
        ("Noticed, and not kept back:", found.findings),
    )
    return [Html(html.note(words) + cut(rows, tuple(rows[0]))) for words, rows in parts if rows]


def _audit(found: Period) -> list[Html]:
    told = html.note(
        "Greedy answers, generated through the router: reliability, prompts of new facts answered with their target;"
        " locality, near misses answered as by the base; retention, a sample of older edits still answered."
    )
    names = ("reliability", "locality", "retention")
    rows = cut(found.jobs, ("job", "ended", "ended_at", "planned", "applied", "failed", "held", *names))
    plot = line_plot("Audit, by job", [_series(found, name) for name in names], x_label="job", share=True)
    return [told, rows, plot]


def _growth(found: Period) -> list[Html]:
    return [
        line_plot("Experts written so far", [_series(found, "experts")], x_label="job"),
        line_plot("Bytes of packs so far", [_series(found, "bytes")], x_label="job"),
    ]


def _cost(found: Period) -> list[Html]:
    facts = sum(job["planned"] for job in found.jobs)
    seconds, written, peak = (found.cost[name] for name in ("seconds", "bytes", "peak_mb"))
    spent = {
        "time": formatting.span(seconds or 0.0),
        "seconds_per_fact": (seconds or 0.0) / facts if facts else None,
        "written": formatting.size(int(written or 0)),
        "peak_memory": formatting.size(int(peak * 1e6)) if peak else None,
    }
    return [html.pairs(spent), line_plot("Seconds, by job", [_series(found, "seconds")], x_label="job")]


def _series(found: Period, name: str) -> Series:
    history = list(enumerate(found.history, start=1))[-MAX_JOBS:]
    return Series(name, [(float(number), job[name]) for number, job in history])


def cut(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Html:
    """A table of the first rows, and a word about the others."""
    shown = html.table(rows[:MAX_ROWS], columns)
    more = len(rows) - MAX_ROWS
    return Html(shown + html.note(f"And {more:,} more; `--json` has them all.")) if more > 0 else shown
