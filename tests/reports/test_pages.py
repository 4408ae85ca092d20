"""A page of a report: one file that loads nothing, shows everything, and lets nothing from outside become markup."""

from html.parser import HTMLParser

from lifelong.reports import html
from lifelong.reports.html import Html
from lifelong.reports.plots import Series, bar_plot, line_plot

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
    paths = [value for name, value in Seen(plot).attributes if name == "d" and value]
    assert ["M", "M", "L"] in [[part for part in path.split() if part.isalpha()] for path in paths]


def test_text_in_a_plot_is_text() -> None:
    seen = Seen(line_plot("$x$ a title", [Series("_a", [(1, 0.5)]), Series("b", [(1, 1.0)])], x_label="job"))
    assert {"$x$ a title", "_a", "b", "job"} <= {words.strip() for words in seen.words.split("\n")}


def test_equal_figures_are_equal_bytes() -> None:
    assert bar_plot("t", {"a": 0.5}) == bar_plot("t", {"a": 0.5})


def test_a_plot_of_nothing_says_so() -> None:
    assert "nothing measured yet" in Seen(line_plot("t", [Series("a", [(1, None)])], x_label="x")).words
    assert "not measured" in Seen(bar_plot("t", {"a": None}, share=True)).words
