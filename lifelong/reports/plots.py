"""Plots by matplotlib as inline SVG: text stays text, nothing is loaded, and equal figures make equal bytes."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifelong.reports.html import Html, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.2, 3.2)
"""Inches: two stand side by side on a page."""
# Okabe and Ito's colours in an order in which neighbours differ in lightness, too, each with a dash of its own: the
# lines stay apart for colour-blind readers and on a black-and-white printer.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lifelong",
    "text.parse_math": False,  # a title may be anybody's text: a dollar in it is a dollar
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.4,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Series:
    """A line of a plot: (x, y) in the order of x; a y of None was not measured and leaves a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def line_plot(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str = "", share: bool = False, log_x: bool = False
) -> Html:
    """Lines over a common x axis. `share`: y runs from 0 to 1; `log_x`: x by powers of ten (every x above 0).

    Where nothing was measured, a figure that says so.
    """
    with _drawing() as figure:
        axes = _axes(figure, title)
        for index, one in enumerate(series):
            _line(axes, one, index)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_ylim(0, 1.02 if share else None)
        if log_x:
            axes.set_xscale("log")
            for formatted in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
                formatted("{x:,g}")  # powers would be TeX, which no browser reads
        if all(y is None for one in series for _, y in one.points):
            axes.text(0.5, 0.5, "nothing measured yet", ha="center", transform=axes.transAxes)
        elif len(series) > 1:
            axes.legend(*_named(axes, series))
        return _as_html(figure, title)


def bar_plot(title: str, bars: Mapping[str, float | None], *, share: bool = False) -> Html:
    """A bar with its value for each name, one below the other; `share`: the longest possible bar is 1."""
    with _drawing() as figure:
        figure.set_figheight(0.7 + 0.26 * len(bars))
        axes = _axes(figure, title)
        drawn = axes.barh(range(len(bars)), [value or 0.0 for value in bars.values()], color=COLOURS[0])
        axes.bar_label(
            drawn, ["not measured" if value is None else f"{value:.4g}" for value in bars.values()], padding=3
        )
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.2 if share else None)
        axes.margins(x=0.2)
        return _as_html(figure, title)


def as_file(figure: Html) -> str:
    """A plot as an SVG file of its own."""
    end = "</svg>"
    return f"{figure[figure.index('<svg') : figure.rindex(end)]}{end}\n"


def _line(axes: Axes, series: Series, index: int) -> None:
    x = [x for x, _ in series.points]
    y = [math.nan if y is None else y for _, y in series.points]
    axes.plot(x, y, color=COLOURS[index % len(COLOURS)], linestyle=DASHES[index % len(DASHES)], marker=".")


def _named(axes: Axes, series: Sequence[Series]) -> tuple[list[Any], list[str]]:
    """Lines and names given by hand: matplotlib leaves out of a legend whatever begins with an underscore."""
    return axes.get_lines(), [one.name for one in series]


@contextlib.contextmanager
def _drawing() -> Iterator[Figure]:
    """A figure of our style; no window system and no state outside it is touched."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=SIZE, layout="constrained")


def _axes(figure: Figure, title: str) -> Axes:
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold")
    return axes


def _as_html(figure: Figure, title: str) -> Html:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    drawn = file.getvalue()
    return element("figure", Html(drawn[drawn.index("<svg") :]), role="img", aria_label=title)
