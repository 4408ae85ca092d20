"""What an editor measures of facts on the base alone, shared by edits that differ only in how they solve for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_SHARED: ContextVar[dict[Hashable, Any] | None] = ContextVar("measurements", default=None)


@contextlib.contextmanager
def shared_measurements() -> Iterator[None]:
    """Within this block nothing is measured twice; what was is kept in memory until its end, and never on disk."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def measured_once(what: Hashable, measure: Callable[[], T], *, recalled: Callable[[], None] | None = None) -> T:
    """What `measure` gives, or gave before within `shared_measurements`; `what` names everything that shapes it.

    `recalled` is called where nothing was measured.
    """
    kept = _SHARED.get()
    if kept is None:
        return measure()
    if what not in kept:
        kept[what] = measure()
    elif recalled:
        recalled()
    found: T = kept[what]
    return found
