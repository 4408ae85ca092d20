"""A page of a report: one file that loads nothing, shows everything, and lets nothing from outside become markup."""

from html.parser import HTMLParser

import pytest

from lifelong.reports import html
from lifelong.reports.html import Html
from lifelong.reports.plots import Axis, Series, bar_plot, line_plot

HOSTILE = "<script>alert('1')</script>\"'><img src=http://evil.example/x onerror=alert(1)>"


class Seen(HTMLParser):
    """The tags, attributes and words of a page, as a browser reads it; checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def whole_page() -> str:
    rows = [{"fact": HOSTILE, "seconds": 1.5, HOSTILE: None}]
    return html.page(
        HOSTILE,
        html.section(HOSTILE, html.note(HOSTILE), html.pairs({HOSTILE: HOSTILE, "passed": True})),
        html.table(rows, ("fact", "seconds", HOSTILE), caption=HOSTILE),
        line_plot(HOSTILE, [Series(HOSTILE, [(1, 0.5), (2, None), (3, 1.0)])], x_label=HOSTILE, y_label=HOSTILE),
        bar_plot(HOSTILE, {HOSTILE: 0.5, "other": None}),
    )


def test_nothing_from_outside_becomes_markup() -> None:
    seen = Seen(whole_page())
    assert not {"script", "img", "link", "iframe"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "href")]
    assert seen.words.count(HOSTILE) >= 12


def test_the_page_forbids_itself_to_load_anything() -> None:
    assert ("content", html.POLICY) in Seen(html.page("empty")).attributes
    assert html.POLICY.startswith("default-src 'none'")
    assert "//" not in html.page("empty")


def test_what_is_markup_already_is_not_escaped_again() -> None:
    assert html.element("p", Html("<b>x</b>"), "<b>") == "<p><b>x</b>&lt;b&gt;</p>"


def test_a_table_without_rows_says_so() -> None:
    assert Seen(html.table([], ("fact",))).words == "None."


def test_a_line_breaks_where_nothing_was_measured() -> None:
    plot = line_plot("reliability", [Series("prompts", [(1, 1.0), (2, None), (3, 0.5), (4, 0.5)])], x_label="job")
    [path] = [value for name, value in Seen(plot).attributes if name == "d"]
    assert path is not None
    assert [part[0] for part in path.split() if part[0].isalpha()] == ["M", "M", "L"]
    assert plot.count("<circle") == 3


def test_a_plot_says_its_values_in_words() -> None:
    assert "prompts: 0.25 at 12k" in Seen(line_plot("t", [Series("prompts", [(12_000, 0.25)])], x_label="x")).words


def test_a_plot_of_nothing_says_so() -> None:
    assert "nothing measured yet" in Seen(line_plot("t", [Series("a", [(1, None)])], x_label="x")).words


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis(3, 47, 0, 100), [10, 20, 30, 40]),
        (Axis(0, 0.03, 0, 100), [0, 0.01, 0.02, 0.03]),
        (Axis(8, 20_000, 0, 100, log=True), [10, 100, 1000, 10_000]),
    ],
)
def test_an_axis_has_round_ticks(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
    assert axis.at(axis.low) == axis.first
    assert axis.at(axis.high) == axis.last
