"""The promise of locality: thresholds from out-of-scope prompts made of the log itself, and whether they keep it.

Near is a prompt that names a fact's subject, or words the relation of some fact; any other is unrelated. Each
kind has a threshold of its own: `thresholds` calibrates them (split conformal,
`policies.calibration`), `kept` checks the promise on probes that had no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifelong.anchors.negatives import Negative, make_negatives
from lifelong.anchors.prior import Prior
from lifelong.anchors.recall import Candidates, Recall
from policies.calibration import LocalityBudget, calibrate, exceeds
from policies.routing import KINDS, SAME_RELATION, Verifier, is_named, kinds, scores

CHUNK = 512
"""Prompts routed together: bounds the memory of a call."""
_FOLDS = 2
EVEN = 0.0
"""Log-odds at which a prompt is as likely in a fact's scope as not."""


class Scored(NamedTuple):
    """The best score that an out-of-scope prompt gives a candidate of a kind; minus infinity where there is none."""

    kind: str
    score: float


@dataclass(frozen=True)
class Kept:
    """How one promise fares: `false_hits` of `probes` out-of-scope prompts were sent to a fact."""

    kind: str
    promised: float
    probes: int
    false_hits: int

    @property
    def broken(self) -> bool:
        """Whether there are more false hits than chance gives (binomial test at 1 %)."""
        return exceeds(self.false_hits, self.probes, self.promised)


def promised(budget: LocalityBudget) -> dict[str, float]:
    """The share of false hits that prompts of each kind may have."""
    return {"near": budget.near, "unrelated": budget.unrelated}


def scored_negatives(recall: Recall, verifier: Verifier) -> list[list[Scored]]:
    """Score every negative that the log yields against all facts that it does not excuse."""
    own = np.array([not scope.negative for scope in recall.scopes], dtype=bool)
    made = make_negatives(recall.scopes)
    near = _words_a_relation(made, recall)
    scored = []
    for start in range(0, len(made), CHUNK):
        chunk = made[start : start + CHUNK]
        found = recall.candidates([negative.prompt for negative in chunk])
        for number, (negative, candidates) in enumerate(zip(chunk, found, strict=True), start=start):
            counts = np.array([own[i] and i not in negative.excused for i in candidates.scopes], dtype=bool)
            scored.append(score_negative(candidates, counts, verifier, bool(near[number])))
    return scored


def score_negative(candidates: Candidates, counts: NDArray[np.bool_], verifier: Verifier, worded: bool) -> list[Scored]:
    """What an out-of-scope prompt says of the thresholds: of `near` where it names a fact's subject or, being
    `worded`, has the wording of a fact's relation; of `unrelated` where it names none.

    `counts` [candidates] are those that the prompt must not be sent to.
    """
    odds, kind = scores(candidates.evidence, verifier), kinds(candidates.evidence)
    best = {each: float(odds[counts & (kind == each)].max(initial=-np.inf)) for each in KINDS}
    if (counts & is_named(candidates.evidence)).any():
        return [Scored("near", best["near"])]
    return [Scored(each, best[each]) for each in (KINDS if worded else ("unrelated",))]


def _words_a_relation(made: Sequence[Negative], recall: Recall) -> NDArray[np.bool_]:
    """Whether a fact about another name words the relation of each negative."""
    rows: dict[str, tuple[int, set[tuple[str, ...]]]] = {}
    for anchor, text in enumerate(recall.masked):
        names = rows.setdefault(text, (anchor, set()))[1]
        scope = recall.scopes[int(recall.owner[anchor])]
        if not scope.negative and len(names) < 2:
            names.add(scope.name)
    wordings = recall.vectors[[anchor for anchor, _ in rows.values()]]
    owners = [names for _, names in rows.values()]
    out = np.zeros(len(made), dtype=bool)
    for number, negative in enumerate(made):
        similar = np.flatnonzero(wordings @ recall.vectors[recall.first[negative.source]] >= SAME_RELATION)
        out[number] = any(owners[i] - {recall.scopes[negative.source].name} for i in similar)
    return out


def thresholds(scored: Sequence[Sequence[Scored]], budget: LocalityBudget, prior: Prior) -> dict[str, float]:
    """The log-odds that a candidate must reach, by kind of prompt: never below even odds, whatever the budget allows.

    Negatives are few where a name is nearly right and the wording is not, and would let all such prompts pass.
    """
    rates = promised(budget)
    limits = {kind: calibrate(list(_of_kind(scored, kind)), rates[kind], prior.tails[kind]) for kind in KINDS}
    return {kind: max(EVEN, limit) for kind, limit in limits.items()}


def observed(scored: Sequence[Sequence[Scored]], limits: Mapping[str, float], budget: LocalityBudget) -> list[Kept]:
    """How thresholds fare on negatives that they were not made of: those of a log that has changed since."""
    hits = {kind: sum(score >= limits[kind] for score in _of_kind(scored, kind)) for kind in KINDS}
    return [Kept(k, rate, sum(1 for _ in _of_kind(scored, k)), hits[k]) for k, rate in promised(budget).items()]


def kept(scored: Sequence[Sequence[Scored]], budget: LocalityBudget, prior: Prior) -> list[Kept]:
    """Check the promise by folds: each half of the negatives against thresholds from the other half."""
    hits, rates = dict.fromkeys(KINDS, 0), promised(budget)
    for fold in range(_FOLDS):
        limits = thresholds([each for i, each in enumerate(scored) if i % _FOLDS != fold], budget, prior)
        for kind in KINDS:
            hits[kind] += sum(score >= limits[kind] for score in _of_kind(scored[fold::_FOLDS], kind))
    return [Kept(kind, rates[kind], sum(1 for _ in _of_kind(scored, kind)), hits[kind]) for kind in KINDS]


def _of_kind(scored: Sequence[Sequence[Scored]], kind: str) -> Iterator[float]:
    return (each.score for of_prompt in scored for each in of_prompt if each.kind == kind)
