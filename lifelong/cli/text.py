"""Plain JSON data as aligned plain text: pairs for an object, a table for a list of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_CELL = 60
MAX_EVENT_CELL = 40
MAX_ITEMS = 10


def cell(value: Any) -> str:
    """One value on one line: `-` for what is not known, floats to four digits, long lists cut short."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(one)}" for key, one in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        shown = "; ".join(cell(one) for one in value[:MAX_ITEMS]) or "-"
        return shown if len(value) <= MAX_ITEMS else f"{shown} and {len(value) - MAX_ITEMS:,} more"
    return " ".join(str(value).split())


def clip(text: str, width: int) -> str:
    """`text`, cut to `width` characters with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


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


def count(number: int, noun: str) -> str:
    """`1 fact`, `2 facts`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: int) -> str:
    """A number of bytes for people: `512 B`, `3.1 MB`."""
    for unit, each in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= each:
            return f"{number / each:.1f} {unit}"
    return f"{number} B"


def when(moment: str) -> str:
    """An RFC 3339 moment of the log, in UTC, to the second: `2026-11-21 02:58:13`."""
    return moment[:19].replace("T", " ")


def span(seconds: float) -> str:
    """A length of time for people, in the two largest units: `45.0 s`, `3 min 20 s`, `2 d 4 h`."""
    for unit, below, each, lower in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if seconds >= each:
            return f"{int(seconds // each)} {unit} {int(seconds % each // lower)} {below}"
    return f"{seconds:.1f} s"


def short(hashed: str | None) -> str | None:
    """The first 12 digits of a tagged hash, enough to name it by."""
    return hashed and hashed.rpartition(":")[2][:12]
