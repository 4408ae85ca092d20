"""Self-contained HTML pages: one file, no network, no script, and nothing from outside that is not escaped.

`Html` marks text that is markup already, made here or by `plots`; every function escapes whatever else it is
given. The page's own content policy forbids it to load or run anything, should an escape ever be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as escape_text
from typing import Any

from lifelong.formatting import cell

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #66666e; --line: #d5d5da; --paper: #fff; --good: #1a7f37;
  --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6ea; --soft: #a0a0a8; --line: #3a3a42; --paper: #17171b;
  --good: #4ac26b; --bad: #ff7b72; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: .8rem 0; } caption, .note { color: var(--soft); text-align: left; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; } td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; } .wide { overflow-x: auto; } .good { color: var(--good); }
.bad { color: var(--bad); } figure { margin: 1rem 1.5rem 1rem 0; display: inline-block; max-width: 100%; }
figure svg { max-width: 100%; height: auto; background: #fff; }
"""


class Html(str):
    """Text that is markup already: it is put into a page as it is."""

    __slots__ = ()


def escape(value: Any) -> Html:
    """A value as markup: `Html` as it is, text escaped, any other plain JSON value as the command line shows it."""
    if isinstance(value, Html):
        return value
    return Html(escape_text(value if isinstance(value, str) else cell(value)))


def element(name: str, *parts: Any, **attributes: str) -> Html:
    """`<name attribute="...">parts</name>`; `class_` stands for `class`, `text_anchor` for `text-anchor`."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape_text(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{told}>{''.join(map(escape, parts))}</{name}>")


def page(title: str, *parts: Any) -> str:
    """A whole page, its heading first; the text of one file."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{element('title', title)}\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{element('h1', title)}\n{chr(10).join(map(escape, parts))}\n</body>\n</html>\n"
    )


def section(heading: str, *parts: Any) -> Html:
    """A heading and what stands under it."""
    return element("section", element("h2", heading), *parts)


def note(*parts: Any) -> Html:
    """A paragraph that explains: what a figure is measured on, why something is missing."""
    return element("p", *parts, class_="note")


def pairs(items: Mapping[str, Any]) -> Html:
    """Names and values in two columns; underscores in names read as spaces."""
    rows = (element("dt", name.replace("_", " ")) + element("dd", value) for name, value in items.items())
    return element("dl", *map(Html, rows))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, caption: str = "") -> Html:
    """The `columns` of `rows` under a header, numbers to the right; a word where there are no rows."""
    if not rows:
        return note("None.")
    head = element("tr", *(element("th", column.replace("_", " "), scope="col") for column in columns))
    body = (element("tr", *(_data(row.get(column)) for column in columns)) for row in rows)
    parts = [element("caption", caption)] if caption else []
    return element("div", element("table", *parts, element("thead", head), element("tbody", *body)), class_="wide")


def _data(value: Any) -> Html:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return element("td", value, class_="number") if is_number else element("td", value)
