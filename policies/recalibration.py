"""When the gate is calibrated anew, and until when it goes on with thresholds of an older log.

`always`, the default, keeps every promise by the log as it is: a threshold that stays is one of fewer facts, and among
more facts a prompt out of scope finds more to be taken for. What a threshold that stays gains is a stable gate: the
prompts between two thresholds are not answered otherwise each morning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from policies.calibration import LocalityBudget

Recalibration = Literal["always", "grown", "broken"]


@dataclass(frozen=True)
class Calibrated:
    """A calibration that may go on being used: its thresholds by kind of prompt, and what it was made for.

    `facts`: how many there were; `encoder`: the fingerprint of the one that made the anchors.
    """

    thresholds: Mapping[str, float]
    facts: int
    encoder: str
    budget: LocalityBudget


def may_stay(last: Calibrated | None, encoder: str, budget: LocalityBudget) -> bool:
    """Whether thresholds are of this encoder and of this promise at all: else no policy keeps them."""
    return last is not None and (last.encoder, last.budget) == (encoder, budget)


def recalibration_due(
    policy: Recalibration, growth: float, last: Calibrated, facts: int, broken: Callable[[], bool]
) -> bool:
    """Whether the gate over so many `facts` is calibrated anew.

    `grown`: once their number has changed by more than the share `growth` since. `broken`: once the thresholds
    send more prompts out of scope to a fact than promised, which `broken` counts on the log as it is; only asked there.
    """
    match policy:
        case "always":
            return True
        case "grown":
            return abs(facts - last.facts) > growth * last.facts
        case "broken":
            return broken()
