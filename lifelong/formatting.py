"""Values as people read them: one line each, in plain text; what the command line and the reports print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
