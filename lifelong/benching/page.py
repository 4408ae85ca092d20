"""A bench as one HTML page: figures with their intervals, and plots against edits and age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from lifelong.benching.result import Details, Point, Result
from lifelong.reports.html import Html, note, page, pairs, section, table
from lifelong.reports.plots import Series, line_plot


def render(result: Result) -> str:
    """The text of a self-contained page."""
    details = result.bench
    parts = [section("Figures", _figures(result)), section("Counts", pairs(result.counts))]
    if details:
        parts = [_what(result, details), parts[0], *_plots(details), *_extras(details), parts[1]]
    return page(f"Bench of {result.recipe}", *parts)


def _what(result: Result, details: Details) -> Html:
    below = ", ".join(str(point.edits) for point in details.curve if not point.within_limits)
    told = {
        "data": f"{details.data.file}, {result.edits} edits, scored: {details.data.half} half",
        "model": result.model,
        "seeds": ", ".join(map(str, details.seeds)),
        "left out": ", ".join(details.ablated) or "nothing",
        "dials": ", ".join(f"{s}.{d} = {v}" for s, dials in details.overrides.items() for d, v in dials.items()) or "-",
        "audit": f"below the recipe's limits after {below} edits" if below else "within the recipe's limits",
        **{name: value for name, value in details.environment.items() if value is not None},
    }
    return section("What was benched", pairs(told))


def _figures(result: Result) -> Html:
    intervals = result.bench.intervals if result.bench else {}
    rows = []
    for name, value in _flat(result).items():
        low, high = intervals.get(name) or (None, None)
        rows.append({"figure": name, "value": _rounded(value), "from": _rounded(low), "to": _rounded(high)})
    explained = note(
        "Shares of 0 to 1. token: teacher-forced token accuracy; exact: generated exact match with natural stop."
        " From and to: 95 % bootstrap interval over facts. What is empty was not measured."
    )
    return Html(explained + table(rows, ("figure", "value", "from", "to")))


def _flat(result: Result) -> dict[str, float | None]:
    """Every figure by its dotted name, in the order of the metrics object."""
    found: dict[str, float | None] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else name, inner)
        elif value is None or isinstance(value, int | float):
            found[prefix] = value

    walk("", {name: value for name, value in asdict(result).items() if name not in ("bench", "counts")})
    return found


def _plots(details: Details) -> list[Html]:
    ages = [
        Series(
            f"{name}, seed {seed}", [(a.last, getattr(a, field)) for a in details.retention_by_age if a.seed == seed]
        )
        for seed in details.seeds
        for name, field in (("right behind their job", "then"), ("at the end", "now"))
    ]
    return [
        section(
            "As edits add up",
            note("Each point: all scored facts edited so far, right behind a job; generated exact match."),
            line_plot(
                "Answers against edits",
                _lines(details, reliability=lambda p: p.reliability, generality=lambda p: p.generality),
                x_label="edits",
                share=True,
            ),
            line_plot(
                "Router against edits",
                _lines(
                    details,
                    precision=lambda p: p.precision,
                    recall=lambda p: p.recall,
                    right_fact=lambda p: p.right_fact,
                ),
                x_label="edits",
                share=True,
            ),
        ),
        section(
            "Retention",
            note("The edits of each job, by the number of the last: answered exactly behind that job, and at the end."),
            line_plot("Retention against age", ages, x_label="edit", share=True),
            *(
                note(
                    f"Seed {seed}: {again.facts} facts give their key another target; the latest wins:"
                    f" {again.latest:.3f}"
                )
                for seed, again in zip(details.seeds, details.edited_again, strict=True)
                if again.latest is not None
            ),
        ),
        section(
            "Cost",
            line_plot(
                "Seconds an edit", _lines(details, seconds=lambda p: p.seconds_per_edit), x_label="edits", y_label="s"
            ),
            line_plot(
                "Work an edit",
                _lines(details, forward_passes=lambda p: p.passes_per_edit, rows=lambda p: p.rows_per_edit),
                x_label="edits",
            ),
            line_plot(
                "Bytes an edit", _lines(details, bytes=lambda p: p.bytes_per_edit), x_label="edits", y_label="bytes"
            ),
        ),
    ]


def _lines(details: Details, **values: Callable[[Point], float | None]) -> list[Series]:
    several = len(details.seeds) > 1
    return [
        Series(
            name.replace("_", " ") + (f", seed {seed}" if several else ""),
            [(point.edits, value(point)) for point in details.curve if point.seed == seed],
        )
        for name, value in values.items()
        for seed in details.seeds
    ]


def _extras(details: Details) -> list[Html]:
    parts = []
    if details.ceiling:
        ceiling = {
            "facts": details.ceiling.facts,
            "reliability": _rounded(details.ceiling.reliability.exact),
            "generality": _rounded(details.ceiling.generality.exact),
        }
        told = note("One isolated expert for each fact, trained on its prompt alone to convergence.")
        parts.append(section("Ceiling", told, pairs(ceiling)))
    if details.arms:
        rows = [
            {
                "arm": name,
                "reliability": _rounded(arm.reliability.exact),
                "generality": _rounded(arm.generality.exact),
                "portability": _rounded(arm.portability.exact),
                "unrelated": _rounded(arm.locality.unrelated.agreement),
                "same_relation": _rounded(arm.locality.same_relation.agreement),
                "same_subject": _rounded(arm.locality.same_subject.agreement),
            }
            for name, arm in details.arms.items()
        ]
        parts.append(section("Comparators", table(rows, list(rows[0]))))
    if details.pools:
        pools = [{name: _rounded(value, 5) for name, value in asdict(pool).items()} for pool in details.pools]
        parts.append(section("Prompts from elsewhere", table(pools, list(pools[0]))))
    if details.text:
        parts.append(section("Running text", pairs({k: _rounded(v, 5) for k, v in asdict(details.text).items()})))
    return parts


def _rounded(value: object, places: int = 3) -> object:
    return round(value, places) if isinstance(value, float) else value
