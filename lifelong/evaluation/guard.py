"""Probes stay probes: one that reaches training, anchors or calibration stops the run.

A figure on such a probe would measure what was learnt. The guard reads what really goes in: every text that the base
tokenises while a job runs, and the wordings and the made negatives of the gate that the job publishes. While it
watches, prompts that are made of two facts are never a probe by chance: such a one is left out (`withheld`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from editlog.canonical import fold
from editlog.errors import LifelongError
from editlog.fact import Fact
from lifelong.anchors.negatives import make_negatives
from lifelong.evaluation.probes import ProbeSet
from lifelong.withheld import withholding

if TYPE_CHECKING:
    from lifelong.anchors.gate import Gate
    from lifelong.models.base import Base


class LeakError(LifelongError):
    """A probe was learnt from."""


class ProbeGuard:
    """Knows the probes that count, and raises LeakError where one turns up in what is learnt from."""

    def __init__(self, probes: ProbeSet) -> None:
        in_scope = (*probes.generality, *probes.portability)
        local = (item for items in probes.locality.values() for item in items)
        self._probes = {fold(item.prompt): probes.facts[item.fact].prompt for item in (*in_scope, *local)}

    def check(self, texts: Iterable[str], where: str) -> None:
        """Raise LeakError for the first text that is a probe."""
        for text in texts:
            if (owner := self._probes.get(fold(text))) is not None:
                raise LeakError(
                    f"the probe {text[:200]!r} of the record {owner[:200]!r} reached {where}, so its figure would"
                    " measure what was learnt; take it out of the stream's rephrases and near misses, or of its probes"
                )

    def check_lessons(self, facts: Iterable[Fact]) -> None:
        """Raise LeakError where a fact gives a probe to learn from."""
        for fact in facts:
            self.check((*fact.wordings, *(near.prompt for near in fact.near_misses)), "training")

    def check_gate(self, gate: Gate) -> None:
        """Raise LeakError where a probe is an anchor of the gate, or a negative that it is calibrated on."""
        self.check((text for scope in gate.scopes for text in (*scope.wordings, *scope.anchors())), "the anchors")
        self.check((negative.prompt for negative in make_negatives(gate.scopes)), "calibration")

    @contextlib.contextmanager
    def watching(self, base: Base) -> Iterator[set[str]]:
        """Raise LeakError where the base is given a probe to read within this block: a job runs in it.

        Gives the probes that two facts would have made by chance, and that were left out.
        """
        prompt_ids = base.prompt_ids

        def watched(prompt: str) -> list[int]:
            self.check([prompt], "training")
            return prompt_ids(prompt)

        base.prompt_ids = watched  # type: ignore[method-assign]
        try:
            with withholding(self._probes) as left_out:
                yield left_out
        finally:
            del base.prompt_ids
