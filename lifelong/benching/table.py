"""A bench as plain text: the table of `eval`, then what only a bench knows."""

from __future__ import annotations

from lifelong.benching.result import Details, Result
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.table import columns, format_table, share

_HEADLINES = (
    "reliability.exact",
    "generality.exact",
    "oracle.generality.exact",
    "locality.unrelated.agreement",
    "locality.same_relation.agreement",
    "locality.same_subject.agreement",
    "portability.exact",
    "router.right_fact",
)


def format_result(result: Result) -> str:
    """Several parts with an empty line between them; a part that was not measured is not there."""
    parts = [format_table(result)]
    if result.bench:
        bench = result.bench
        parts += [_intervals(bench), _curve(bench), _ages(bench), _again(bench), *_extras(bench)]
    return "\n\n".join(part for part in parts if part)


def _intervals(details: Details) -> str:
    rows = [
        [name, share(found[0]), share(found[1])]
        for name in _HEADLINES
        if (found := details.intervals[name]) is not None
    ]
    return _table(["95 % interval", "from", "to"], rows)


def _curve(details: Details) -> str:
    rows = [
        [
            f"seed {p.seed}, {p.edits}",
            *map(share, (p.reliability, p.generality, p.recall, p.precision, p.right_fact)),
            *("-" if cost is None else f"{cost:.3g}" for cost in (p.seconds_per_edit, p.rows_per_edit)),
            "passed" if p.within_limits else "failed",
        ]
        for p in details.curve
    ]
    header = [
        "after edits",
        "reliability",
        "generality",
        "recall",
        "precision",
        "right fact",
        "s an edit",
        "rows",
        "audit",
    ]
    return _table(header, rows)


def _ages(details: Details) -> str:
    rows = [
        [f"seed {a.seed}, {a.first} to {a.last}", share(a.then), share(a.now), str(a.facts)]
        for a in details.retention_by_age
    ]
    return _table(["edits", "answered then", "at the end", "facts"], rows)


def _again(details: Details) -> str:
    told = zip(details.seeds, details.edited_again, strict=True)
    rows = [[f"seed {seed}", share(again.latest), str(again.facts)] for seed, again in told if again.facts]
    return _table(["edited again", "latest wins", "facts"], rows)


def _extras(details: Details) -> list[str]:
    parts = []
    if (ceiling := details.ceiling) is not None:
        row = ["", share(ceiling.reliability.exact), share(ceiling.generality.exact), str(ceiling.facts)]
        parts.append(_table(["ceiling", "reliability", "generality", "facts"], [row]))
    if details.arms is not None:
        header = [
            "comparator",
            "reliability",
            "generality",
            "portability",
            "unrelated",
            "same relation",
            "same subject",
        ]
        parts.append(_table(header, [[name, *_arm(metrics)] for name, metrics in details.arms.items()]))
    if details.pools is not None:
        rows = [
            [
                p.name,
                *(f"{v:.4f}" if v is not None else "-" for v in (p.agreement, p.bit_identical, p.false_hits)),
                str(p.prompts),
            ]
            for p in details.pools
        ]
        parts.append(_table(["pool", "agreement", "bit identical", "false hits", "prompts"], rows))
    if (text := details.text) is not None:
        row = [
            "",
            f"{text.perplexity_base:.4f}",
            f"{text.perplexity_edited:.4f}",
            share(text.false_hits),
            "unchanged" if text.unchanged else "changed",
            str(text.passages),
        ]
        parts.append(_table(["text", "base", "edited", "false hits", "on misses", "passages"], [row]))
    return parts


def _arm(metrics: Metrics) -> list[str]:
    kinds = metrics.locality
    answers = (metrics.reliability.exact, metrics.generality.exact, metrics.portability.exact)
    local = (kinds.unrelated.agreement, kinds.same_relation.agreement, kinds.same_subject.agreement)
    return [share(value) for value in (*answers, *local)]


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(columns(header, rows)) if rows else ""
