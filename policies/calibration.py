"""Scores of negatives -> a threshold that keeps a promised false-hit rate.

Split conformal prediction: when a new out-of-scope prompt is exchangeable with the `n` negatives whose
scores are given, at most `rate` of such prompts score at or above the threshold, in expectation over the
draw of the negatives. Few negatives cannot promise a small rate, so the log's own are pooled with a shipped
prior of fixed weight. A log's own negatives are made by rule and may be easier than what people ask, so the
threshold never falls below the prior's: what a log has to say can only make it stricter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRIOR_WEIGHT = 8.0
"""How many times `1 / rate` negatives the prior counts for, however many it was made from."""


@dataclass(frozen=True)
class LocalityBudget:
    """Shares of out-of-scope prompts that may be sent to a fact; `near`: same subject or same relation."""

    unrelated: float = 0.001
    near: float = 0.02

    def __post_init__(self) -> None:
        for name in ("unrelated", "near"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"locality budget {name} must lie between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Tail:
    """The upper end of a sample of `count` negative scores: `top`, in falling order."""

    count: int
    top: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.count < len(self.top) or list(self.top) != sorted(self.top, reverse=True):
            raise ValueError("a tail holds its largest scores in falling order, and no more of them than were counted")

    def reached_by(self, rate: float) -> float:
        """The threshold that a share `rate` of the sample and one more passes; minus infinity where fewer are known."""
        place = int(rate * (self.count + 1))
        return float(np.nextafter(self.top[place], np.inf)) if place < len(self.top) else -np.inf


NO_PRIOR = Tail(0, ())


def calibrate(negatives: Sequence[float] | NDArray[np.floating], rate: float, prior: Tail = NO_PRIOR) -> float:
    """Return the smallest threshold under which pooled negatives hit (score >= threshold) at most at `rate`.

    A NaN counts as the worst possible negative. Where the pool is too small for the rate (or the prior's
    tail too short to tell) the answer is infinity: nothing but an exact wording is a hit.
    """
    own = np.nan_to_num(np.asarray(negatives, dtype=np.float64), nan=np.inf)
    prior_mass = PRIOR_WEIGHT / rate if prior.count else 0.0
    scores = np.concatenate([own, np.asarray(prior.top, dtype=np.float64)])
    floor = prior.reached_by(rate) if prior.count else -np.inf
    each_prior = prior_mass / prior.count if prior.count else 0.0
    weights = np.concatenate([np.ones(len(own)), np.full(len(prior.top), each_prior)])
    allowed = rate * (len(own) + prior_mass + 1.0) - 1.0  # the new prompt itself may be the worst of all
    if allowed < 0.0:
        return float("inf")
    order = np.argsort(-scores, kind="stable")
    passed = np.cumsum(weights[order])
    first_refused = int(np.searchsorted(passed, allowed * (1.0 + 1e-9), side="right"))
    if first_refused == len(scores):  # every score known may pass: stop below the last one that is known
        return max(floor, float(scores[order[-1]])) if len(scores) else float("inf")
    return max(floor, float(np.nextafter(scores[order[first_refused]], np.inf)))


def exceeds(hits: int, probes: int, rate: float, level: float = 0.01) -> bool:
    """Whether `hits` of `probes` are more than chance gives at a true rate of `rate` (exact binomial test)."""
    fewer = sum(
        math.exp(
            math.lgamma(probes + 1)
            - math.lgamma(k + 1)
            - math.lgamma(probes - k + 1)
            + k * math.log(rate)
            + (probes - k) * math.log1p(-rate)
        )
        for k in range(hits)
    )
    return 1.0 - fewer < level
