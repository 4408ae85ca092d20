"""Prompts that nothing may be made of: the probes of a bench.

The editors lend each other near misses, and the gate's calibration makes negatives, both by putting one fact's
subject into another's prompt. What is made so may happen to be a probe. Within `withholding` it is left out instead.
What a user wrote is never left out: a probe among it is an error (`evaluation.guard`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from contextvars import ContextVar

from editlog.canonical import fold

_WITHHELD: ContextVar[tuple[Collection[str], set[str]] | None] = ContextVar("withheld", default=None)


@contextlib.contextmanager
def withholding(folded: Collection[str]) -> Iterator[set[str]]:
    """Let nothing be made that is one of these texts, case and spaces aside; gives the set of those left out so far."""
    left_out: set[str] = set()
    token = _WITHHELD.set((folded, left_out))
    try:
        yield left_out
    finally:
        _WITHHELD.reset(token)


def may_be_made(prompt: str) -> bool:
    """Whether a made prompt may be learnt from; remembers the one that may not."""
    held = _WITHHELD.get()
    if held is None or (text := fold(prompt)) not in held[0]:
        return True
    held[1].add(text)
    return False
