"""The audit's verdict: what may be published, what is held, and who spoilt it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Score:
    """Counted prompts of one kind: how many were measured and how many came out as they must."""

    good: int = 0
    measured: int = 0

    @property
    def share(self) -> float:
        """`good / measured`; 1.0 where nothing was measured, since nothing was seen to be wrong."""
        return self.good / self.measured if self.measured else 1.0


@dataclass(frozen=True)
class Limits:
    """The recipe's limits for locality and retention, shares from 0 to 1."""

    locality: float
    retention: float

    def held_by(self, locality: Score, retention: Score) -> bool:
        """Whether both scores stand at or above their limits."""
        return locality.share >= self.locality and retention.share >= self.retention


def full_audit_due(last: datetime | None, now: datetime, days: float) -> bool:
    """Whether a job asks every live fact, and not a sample: the last such audit was `days` ago, or there was none."""
    return last is None or not timedelta(0) <= now - last < timedelta(days=days)


@dataclass(frozen=True)
class Measured:
    """One measurement: whether it holds, who took a live fact's own wording, and all seen to spoil."""

    holds: bool
    takers: frozenset[int]
    seen: frozenset[int]


def culprits_among(
    suspects: Sequence[int], first: Measured, without: Callable[[frozenset[int]], Measured]
) -> frozenset[int] | None:
    """Which facts to hold; none where all holds, None where the audit fails even without all `suspects`.

    `without(gone)` measures the job without those facts. Takers go whatever the limits say: each harms a fact by name,
    in a workspace of any size. If the limits are broken still, all go that were seen to spoil a prompt, and whoever is
    seen only once those are gone: one measurement for each layer, however many there are. Else what spoils cannot be
    seen one by one, and bisection finds it.
    """
    gone, now = first.takers, first
    while now.takers:
        now = without(gone)
        gone |= now.takers
    while now.seen and not now.holds:
        gone |= now.seen
        now = without(gone)
    return gone if now.holds else isolate(suspects, lambda left_out: without(left_out).holds)


def isolate(suspects: Sequence[int], holds_without: Callable[[frozenset[int]], bool]) -> frozenset[int] | None:
    """Find, by bisection, facts whose absence lets the audit hold.

    `suspects` come most suspicious first; `holds_without(gone)` audits the job without those facts. The answer
    is minimal in the sense that putting back any one block the search looked at breaks the limits again. None
    if the audit fails even with every suspect gone. About `k * log2(n)` audits for k culprits among n.
    """
    if not holds_without(frozenset(suspects)):
        return None

    def culprits(block: Sequence[int], gone: frozenset[int]) -> frozenset[int]:
        """Those of `block` that must go, given that `gone` already went and that all of `block` suffices."""
        if holds_without(gone):
            return frozenset()
        if len(block) == 1:
            return frozenset(block)
        left, right = block[: len(block) // 2], block[len(block) // 2 :]
        from_left = culprits(left, gone | frozenset(right))
        return from_left | culprits(right, gone | from_left)

    return culprits(tuple(suspects), frozenset())
