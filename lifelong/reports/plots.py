"""Plots as inline SVG, drawn here: no library to install, no font or image to load, text that can be read aloud.

What a report plots is small (a line for each figure, a point for each job), so axes with round ticks are all it
takes; the colours and marks stay apart for colour-blind readers and on a black-and-white printer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifelong.reports.html import Html, element

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 46
LEGEND_ROW, BAR_ROW, BAR_LABEL = 18, 24, 170
# Okabe and Ito's colours, in an order in which neighbours differ in lightness, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "", "6 3")


@dataclass(frozen=True)
class Series:
    """A line of a plot: (x, y) in the order of x; a y of None was not measured and leaves a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Axis:
    """A span of numbers laid over pixels from `first` to `last`; `log` lays out powers of ten evenly."""

    low: float
    high: float
    first: float
    last: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high, where = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.first + (self.last - self.first) * (where - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round numbers on the axis: about five, or the powers of ten."""
        if self.log:
            decades = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            return [10.0**power for power in decades]
        step = _round_step((self.high - self.low) / 5)
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


def line_plot(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str = "", share: bool = False, log_x: bool = False
) -> Html:
    """Lines over a common x axis. `share`: y runs from 0 to 1; `log_x`: x by powers of ten (every x above 0).

    Where nothing was measured, a figure that says so.
    """
    measured = [(x, y) for one in series for x, y in one.points if y is not None]
    if not measured:
        return _figure(title, WIDTH, TOP + 2 * LEGEND_ROW, [_text(LEFT, TOP + LEGEND_ROW, "nothing measured yet")])
    xs, ys = zip(*measured, strict=True)
    x_axis = Axis(*_span(xs, log_x), LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis(*((0.0, 1.0) if share else _span((0.0, *ys))), HEIGHT - BOTTOM, TOP)
    parts = _axes(x_axis, y_axis, x_label, y_label)
    for index, one in enumerate(series):
        parts += _line(one, index, x_axis, y_axis)
    parts += [_legend(one.name, index) for index, one in enumerate(series)]
    return _figure(title, WIDTH, HEIGHT + LEGEND_ROW * len(series), parts)


def bar_plot(title: str, bars: Mapping[str, float | None], *, share: bool = False) -> Html:
    """A bar with its value for each name, one below the other; `share`: the longest possible bar is 1."""
    top = 1.0 if share else max((value for value in bars.values() if value is not None), default=0.0) or 1.0
    parts = []
    for index, (name, value) in enumerate(bars.items()):
        y = TOP + BAR_ROW * index
        length = (WIDTH - BAR_LABEL - RIGHT - 60) * (value or 0.0) / top
        parts += [
            _text(BAR_LABEL - 8, y + 15, name, anchor="end"),
            _shape("rect", x=BAR_LABEL, y=y + 3, width=length, height=BAR_ROW - 8, fill=COLOURS[0]),
            _text(BAR_LABEL + length + 6, y + 15, "not measured" if value is None else number(value)),
        ]
    return _figure(title, WIDTH, TOP + BAR_ROW * len(bars) + 8, parts)


def number(value: float) -> str:
    """A number for an axis: four digits at most, thousands and millions by letter."""
    for each, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= each:
            return f"{value / each:.4g}{letter}"
    return f"{value:.4g}"


def _span(values: Sequence[float], log: bool = False) -> tuple[float, float]:
    """The least and the greatest value, set apart where they are one."""
    low, high = float(min(values)), float(max(values))
    if low < high:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def _round_step(about: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(about))
    return next(power * nice for nice in (1, 2, 5, 10) if power * nice >= about * 0.999)


def _axes(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[Html]:
    parts = []
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        parts += [_shape("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")]
        parts += [_text(LEFT - 6, y + 4, number(tick), anchor="end")]
    floor = HEIGHT - BOTTOM
    parts += [_shape("line", x1=LEFT, x2=WIDTH - RIGHT, y1=floor, y2=floor, class_="axis")]
    parts += [_text(x_axis.at(tick), floor + 16, number(tick), anchor="middle") for tick in x_axis.ticks()]
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, floor + 34, x_label, anchor="middle", soft=True)]
    return [*parts, _text(4, TOP - 8, y_label, soft=True)] if y_label else parts


def _line(series: Series, index: int, x_axis: Axis, y_axis: Axis) -> list[Html]:
    """The series as one path with a gap where nothing was measured, and a dot with its value for each point."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    path, pen = [], "M"
    dots = []
    for x, y in series.points:
        if y is None:
            pen = "M"
            continue
        at_x, at_y = x_axis.at(x), y_axis.at(y)
        path.append(f"{pen}{at_x:.1f} {at_y:.1f}")
        pen = "L"
        told = element("title", f"{series.name}: {number(y)} at {number(x)}")
        dots.append(_shape("circle", told, cx=at_x, cy=at_y, r=2.5, fill=colour))
    stroke = {"stroke": colour, "stroke_width": "1.8", "stroke_dasharray": dash, "fill": "none"}
    return [_shape("path", d=" ".join(path), **stroke), *dots]


def _legend(name: str, index: int) -> Html:
    y = HEIGHT + LEGEND_ROW * index
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    mark = _shape("line", x1=LEFT, x2=LEFT + 26, y1=y, y2=y, stroke=colour, stroke_width="2.2", stroke_dasharray=dash)
    return Html(mark + _text(LEFT + 34, y + 4, name))


def _figure(title: str, width: int, height: int, parts: Sequence[Html]) -> Html:
    heading = _text(LEFT, 14, title, bold=True)
    box = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height), "role": "img"}
    return element("figure", element("svg", heading, *parts, aria_label=title, **box))


def _text(x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False, bold: bool = False) -> Html:
    style = ({"class_": "soft"} if soft else {}) | ({"font_weight": "bold"} if bold else {})
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **style)


def _shape(name: str, *parts: Html, **attributes: str | float) -> Html:
    told = {
        key: value if isinstance(value, str) else f"{value:.1f}" for key, value in attributes.items() if value != ""
    }
    return element(name, *parts, **told)
