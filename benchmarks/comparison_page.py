"""The measured parts of docs/COMPARISON.md, and its plots as SVG files beside it in docs/comparison/.

What people wrote on the page stays: each measured part stands between `<!-- NAME -->` and `<!-- end of NAME -->`, and
is put there anew. The figures behind it are docs/comparison/results.jsonl, a line for each run that was finished.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifelong.reports.html import Html
from lifelong.reports.plots import Series, as_file, bar_plot, line_plot

Figures = Mapping[str, Any]
Place = tuple[str, ...]
"""Where figures stand: ("steps", recipe), (stream, recipe), or what `study_place` says."""
_STUDY = "study of "
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "reliability": ("reliability", "exact"),
    "generality": ("generality", "exact"),
    "generality, oracle": ("oracle", "generality", "exact"),
    "unrelated": ("locality", "unrelated", "agreement"),
    "same relation": ("locality", "same_relation", "agreement"),
    "same subject": ("locality", "same_subject", "agreement"),
    "retention": ("retention", "exact"),
    "right fact": ("router", "right_fact"),
}
COSTS: Mapping[str, tuple[str, ...]] = {
    "s an edit": ("seconds_per_edit",),
    "bytes an edit": ("bytes_per_edit",),
    "peak MB": ("peak_mb",),
}
DRAWN = ("reliability", "generality", "unrelated", "retention")
TIMES = ("batched", "alone", "published")
STUDIED = {"reliability": "reliability", "generality": "generality", "locality": "same relation"}
RESULTS = Path("comparison") / "results.jsonl"


@dataclass(frozen=True)
class Results:
    """The figures of what is finished on one base with one seed, by their places."""

    base: str
    seed: int
    figures: Mapping[Place, Figures]

    @classmethod
    def of(cls, base: str, seed: int, finished: Mapping[Place, Path], docs: Path) -> Results:
        """What RESULTS in `docs` holds of this base, seed and number of edits, and what was `finished` since."""
        known: dict[Place, Figures] = {}
        with contextlib.suppress(FileNotFoundError):
            rows = map(json.loads, (docs / RESULTS).read_text(encoding="utf-8").splitlines())
            known = {tuple(row["place"]): row["figures"] for row in rows if (row["base"], row["seed"]) == (base, seed)}
        new: dict[Place, Figures] = {}
        for place, path in finished.items():
            found = json.loads(path.read_text(encoding="utf-8"))
            new[place] = found if place[0] == "steps" else figures_of(found)
        edits = {place[0]: found["edits"] for place, found in new.items()}
        alike = {place: old for place, old in known.items() if edits.get(place[0]) in (None, old["edits"])}
        return cls(base, seed, {**alike, **new})

    @property
    def steps(self) -> dict[str, Figures]:
        """Those of the editing step, by recipe."""
        return {recipe: found for (part, recipe, *_), found in self.figures.items() if part == "steps"}

    @property
    def streams(self) -> dict[str, dict[str, Figures]]:
        """Those of each stream, by recipe."""
        by_stream: dict[str, dict[str, Figures]] = {}
        for (part, recipe, *_), found in self.figures.items():
            if part != "steps" and not part.startswith(_STUDY):
                by_stream.setdefault(part, {})[recipe] = found
        return by_stream

    @property
    def studies(self) -> dict[int, dict[str, dict[int, Figures]]]:
        """Those of the batch sizes, by number of edits, recipe and size."""
        found: dict[int, dict[str, dict[int, Figures]]] = {}
        for (part, recipe, *size), figures in self.figures.items():
            if part.startswith(_STUDY):
                found.setdefault(int(part.removeprefix(_STUDY)), {}).setdefault(recipe, {})[int(size[0])] = figures
        return dict(sorted(found.items()))

    def lines(self) -> str:
        """What RESULTS holds of them."""
        rows = (
            {"place": place, "base": self.base, "seed": self.seed, "figures": found}
            for place, found in sorted(self.figures.items())
        )
        return "".join(json.dumps(row) + "\n" for row in rows)


def study_place(edits: int, recipe: str, size: int) -> Place:
    """Where the figures of a batch size stand."""
    return f"{_STUDY}{edits}", recipe, str(size)


def figures_of(result: Figures) -> Figures:
    """What the page tells of a bench: its size, and each column."""
    size = {"edits": result["edits"], "jobs": len(result["bench"]["curve"]), "scored": result["counts"]["facts"]}
    return {**size, **{title: _at(result, path) for title, path in {**COLUMNS, **COSTS}.items()}}


def write_page(results: Results, docs: Path) -> None:
    """Put every measured part of `results` into COMPARISON.md in `docs`, and write its plots."""
    path = docs / "COMPARISON.md"
    text = path.read_text(encoding="utf-8")
    plots = docs / "comparison"
    plots.mkdir(exist_ok=True)
    for name, figures in results.streams.items():
        text = put(text, name, f"{stream_table(name, figures, results)}\n\n{stream_plots(name, figures, plots)}")
    if results.steps:
        text = put(text, "editing step", step_table(results))
    if results.studies:
        parts = [study_part(edits, by_recipe, plots) for edits, by_recipe in results.studies.items()]
        text = put(text, "batch sizes", "\n\n".join(parts))
    path.write_text(text, encoding="utf-8")
    (docs / RESULTS).write_text(results.lines(), encoding="utf-8")


def put(text: str, name: str, block: str) -> str:
    """The page with a block between the marks of its name; raises ValueError where it has none."""
    marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"the page has no place for {name!r}")
    return marks.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", text)


def stream_table(name: str, by_recipe: Mapping[str, Figures], results: Results) -> str:
    """One row a recipe, the best of each column in bold; columns that the stream has no probes for are left out."""
    found = {title: [figures[title] for figures in by_recipe.values()] for title in COLUMNS}
    best = {title: max(known) for title, values in found.items() if (known := [v for v in values if v is not None])}
    rows = []
    for recipe, figures in sorted(by_recipe.items(), key=_default_first):
        shares = [_share(figures[title], best[title]) for title in best]
        rows.append([recipe, *shares, *(_number(figures[title]) for title in COSTS)])
    first = next(iter(by_recipe.values()))
    told = (
        f"{first['edits']} edits of {name} in {first['jobs']} jobs, {first['scored']} of them scored; seed"
        f" {results.seed}, base `{results.base}`."
    )
    return f"{told}\n\n{_table(['recipe', *best, *COSTS], rows)}"


def stream_plots(name: str, by_recipe: Mapping[str, Figures], plots: Path) -> str:
    """A bar for each recipe, a plot for each figure of DRAWN that the stream has probes for."""
    parts = []
    for title in DRAWN:
        bars = {recipe: figures[title] for recipe, figures in sorted(by_recipe.items(), key=_default_first)}
        if any(value is not None for value in bars.values()):
            path = plots / f"{name}-{title.replace(' ', '-')}.svg"
            parts.append(_plot(bar_plot(f"{name}: {title}", bars, share=True), f"{title} of each recipe", path))
    return " ".join(parts)


def step_table(results: Results) -> str:
    """CPU time of the editor alone, and the default's beside it."""
    default = results.steps.get("default", {}).get("batched")
    rows = []
    for recipe, figures in sorted(results.steps.items(), key=_default_first):
        shown = [_number(figures[key]) for key in ("preparation", *TIMES)]
        ratios = [_ratio(figures[key], default) for key in TIMES]
        rows.append([recipe, *shown, *ratios, _number(figures["bytes"]), _number(figures["peak_mb"])])
    header = [
        "recipe",
        "preparation, s",
        "batched, ms",
        "alone, ms",
        "as published, ms",
        "batched / default",
        "alone / default",
        "as published / default",
        "bytes",
        "peak MB",
    ]
    edits = next(iter(results.steps.values()))["edits"]
    return f"{edits} edits of CounterFact, base `{results.base}`.\n\n{_table(header, rows)}"


def study_part(edits: int, by_recipe: Mapping[str, Mapping[int, Figures]], plots: Path) -> str:
    """The plot of each figure over the batch size, and the table behind them."""
    parts, rows = [], []
    every = [figures for by_size in by_recipe.values() for figures in by_size.values()]
    shown = {title: column for title, column in STUDIED.items() if any(f[column] is not None for f in every)}
    for title, column in shown.items():
        series = [
            Series(recipe, [(size, figures[column]) for size, figures in sorted(by_size.items())])
            for recipe, by_size in sorted(by_recipe.items())
        ]
        drawn = line_plot(title, series, x_label="edits solved for at once", share=True, log_x=True)
        parts.append(_plot(drawn, f"{title} by batch size", plots / f"batch-sizes-{edits}-{title}.svg"))
    for recipe, by_size in sorted(by_recipe.items()):
        for size, figures in sorted(by_size.items()):
            rows.append([recipe, str(size), *(_share(figures[column]) for column in shown.values())])
    told = f"### {edits:,} edits of CounterFact in one job"
    return "\n\n".join([told, " ".join(parts), _table(["recipe", "batch", *shown], rows)])


def _plot(drawn: Html, told: str, path: Path) -> str:
    """Write a plot to `path`; how the page shows it."""
    path.write_text(as_file(drawn), encoding="utf-8")
    return f"![{told}]({path.parent.name}/{path.name})"


def _at(figures: Figures, path: Sequence[str]) -> float | None:
    value: Any = figures
    for key in path:
        value = value[key]
    return None if value is None else float(value)


def _share(value: float | None, best: float | None = None) -> str:
    if value is None:
        return "-"
    return f"**{value:.3f}**" if best is not None and f"{value:.3f}" == f"{best:.3f}" else f"{value:.3f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None, default: float | None) -> str:
    return f"{value / default:.2f}" if value is not None and default else "-"


def _default_first(item: tuple[str, Any]) -> tuple[bool, str]:
    return item[0] != "default", item[0]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
