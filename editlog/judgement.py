"""Judgement of an incoming fact: new, said already, or said before something newer (docs/FORMAT.md, Facts)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Verdict = Literal["accepted", "duplicate", "stale_repeat"]


class Put(NamedTuple):
    """An earlier fact of the same key."""

    seq: int
    digest: bytes


class Judgement(NamedTuple):
    """What becomes of an incoming fact, and which older facts it refers to."""

    verdict: Verdict
    supersedes: int | None = None
    reasserts: int | None = None


def judge(
    puts: Sequence[Put],
    digest: bytes,
    *,
    retracted: set[int],
    redelivered: Callable[[int], bool],
    reassert: bool,
) -> Judgement:
    """Decide on a fact, given all earlier puts of its key in log order.

    What governs is the latest unretracted put. The same as what governs is a duplicate. The same as an older
    one is a stale repeat, unless reasserted. The same as one that was retracted is a new fact, unless the
    very file that brought the first one is delivered again: that must change nothing.
    """
    live = [put for put in puts if put.seq not in retracted]
    governing = live[-1] if live else None
    if governing is not None and governing.digest == digest:
        return Judgement("duplicate")
    same = [put.seq for put in puts if put.digest == digest]
    if same and not reassert:
        if governing is not None and governing.seq > same[-1]:
            return Judgement("stale_repeat")
        if redelivered(same[-1]):
            return Judgement("duplicate")
    return Judgement("accepted", governing and governing.seq, same[-1] if same else None)
