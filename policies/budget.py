"""Budgets: how much time, memory and disk one job may take, and how many facts; what does not fit stays pending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from policies.priority import Pending, in_order

TRAINING_SHARE = 0.6
"""What training may take of a job's time: the rest is for the audit, without which nothing is published."""


class Budget(BaseModel):
    """What one job may take; without a dial, as much as it needs.

    `max_minutes`: from its start; training stops early enough to audit, and a job that is not over by then is stopped,
    to be carried on by the next run. `max_facts`: how many it takes from what is pending. `max_memory_mb`: no further
    wave once the process has taken so much. `max_bytes`: of experts on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    max_facts: Annotated[int, Field(ge=1)] | None = None
    max_memory_mb: Annotated[float, Field(gt=0)] | None = None
    max_bytes: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True)
class Spent:
    """What a job has taken so far: seconds, facts trained, the most memory in MB, bytes of experts."""

    seconds: float
    facts: int
    memory_mb: float
    bytes: int


def taken(pending: Sequence[Pending], budget: Budget) -> list[Pending]:
    """The facts that a job begins with, in order; the others stay pending."""
    return in_order(pending)[: budget.max_facts]


def no_room(spent: Spent, facts: int, budget: Budget) -> str | None:
    """Why a wave of so many more facts does not fit, judged by what those so far took; None where it does.

    The first wave of a job always fits: a budget delays facts, and must not keep them pending for ever.
    """
    if spent.facts == 0:
        return None
    growth = (spent.facts + facts) / spent.facts
    if budget.max_minutes and spent.seconds * growth > budget.max_minutes * 60 * TRAINING_SHARE:
        return f"max_minutes = {budget.max_minutes:g}: another wave would leave too little for the audit"
    if budget.max_memory_mb and spent.memory_mb > budget.max_memory_mb:
        return f"max_memory_mb = {budget.max_memory_mb:g}: the job has taken {spent.memory_mb:.0f}"
    if budget.max_bytes and spent.bytes * growth > budget.max_bytes:
        return f"max_bytes = {budget.max_bytes}: its experts take {spent.bytes} already"
    return None
