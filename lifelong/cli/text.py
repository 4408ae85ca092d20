"""Plain JSON data as aligned plain text: pairs for an object, a table for a list of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lifelong.formatting import cell, clip, count, short, size, span, when

__all__ = [
    "cell",
    "clip",
    "count",
    "events",
    "history",
    "outcome",
    "pairs",
    "short",
    "size",
    "span",
    "table",
    "tree",
    "when",
]

MAX_CELL = 60
MAX_EVENT_CELL = 40


def pairs(items: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """`name  value` lines, the values in one column; underscores in names read as spaces."""
    rows = [(name.replace("_", " "), cell(value)) for name, value in dict(items).items()]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def outcome(result: Mapping[str, Any]) -> str:
    """The pairs of a verb that changes something; a dry run says so first."""
    shown = pairs({name: value for name, value in result.items() if name != "dry_run"})
    return f"Nothing was changed; this is what would be:\n{shown}" if result["dry_run"] else shown


def tree(items: Mapping[str, Any]) -> str:
    """Pairs, then each nested object under its name, as in a TOML file."""
    plain = {name: value for name, value in items.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in items.items() if isinstance(value, Mapping) and value}
    return "\n\n".join(
        [*([pairs(plain)] if plain else []), *(f"[{name}]\n{tree(value)}" for name, value in nested.items())]
    )


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, widest: int = MAX_CELL) -> str:
    """The `columns` of `rows` under a header; numbers to the right, cells clipped to `widest` characters."""
    if not rows:
        return "nothing yet"
    head = [column.replace("_", " ") for column in columns]
    body = [[clip(cell(row.get(column)), widest) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(columns))]
    right = [all(isinstance(row.get(column), (int, float, type(None))) for row in rows) for column in columns]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in (head, *body)
    )


def events(rows: Sequence[Mapping[str, Any]], *more: str) -> str:
    """Events as a table: their envelopes, and the columns named in `more`."""
    shown = [{**row, "at": when(row["at"])} for row in rows]
    return table(shown, ("seq", "at", "kind", "actor", "job", "reason", *more), widest=MAX_EVENT_CELL)


def history(rows: Sequence[Mapping[str, Any]], *more: str) -> str:
    """What happened to facts as a table: each event in one word, and the columns named in `more`."""
    shown = [{**row, "at": when(row["at"])} for row in rows]
    return table(shown, ("seq", "at", "what", "actor", "job", "reason", *more), widest=MAX_EVENT_CELL)
