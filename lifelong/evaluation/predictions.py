"""Single predictions, and the figures made of them: every figure is a mean over the predictions that it is about.

So each figure can be followed down to its rows, and its interval comes from drawing the facts again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lifelong.evaluation.metrics import (
    Accuracy,
    Exact,
    Locality,
    LocalityByKind,
    Oracle,
    Router,
)
from lifelong.evaluation.probe_rules import KINDS, Kind

Measure = Literal["reliability", "generality", "portability", "locality"]

DRAWS = 1000
LEVEL = 0.95
_CHUNK = 1 << 22  # drawn weights held at once


@dataclass(frozen=True)
class Prediction:
    """What became of one prompt; what does not apply to its measure is None.

    `fact` is the index of its fact among those scored. `token`: share of the expected tokens that came first under
    teacher forcing; `exact`: whether the generated text is the expected one. `sent` and `own`: the fact (its number in
    the log) that the router chose, and the one that is right, None where none is. `oracle_*`: the same with the right
    expert given. `base_answer`, `agrees`, `bit_identical`: a prompt out of scope, without the edits against with them.
    """

    measure: Measure
    fact: int
    prompt: str
    answer: str
    kind: Kind | None = None
    expected: str | None = None
    token: float | None = None
    exact: bool | None = None
    sent: int | None = None
    own: int | None = None
    oracle_answer: str | None = None
    oracle_token: float | None = None
    oracle_exact: bool | None = None
    base_answer: str | None = None
    agrees: bool | None = None
    bit_identical: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


Value = Callable[[Prediction], float | None]
"""What a prediction adds to a figure; None: the figure is not about it."""


def _of(measure: Measure, field: str) -> Value:
    return lambda p: getattr(p, field) if p.measure == measure else None


def _of_kind(kind: Kind, value: Callable[[Prediction], float | None]) -> Value:
    return lambda p: value(p) if p.measure == "locality" and p.kind == kind else None


def _in_scope(value: Callable[[Prediction], float]) -> Value:
    return lambda p: value(p) if p.measure == "generality" else None


def _precision(p: Prediction) -> float | None:
    """Of the probes that hit, in scope and out of it: whether this one is in scope."""
    if p.sent is None or p.measure not in ("generality", "locality"):
        return None
    return float(p.measure == "generality")


FIGURES: Mapping[str, Value] = {
    **{f"{m}.{view}": _of(m, view) for m in ("reliability", "generality") for view in ("token", "exact")},
    **{
        f"oracle.{m}.{view}": _of(m, f"oracle_{view}")
        for m in ("reliability", "generality")
        for view in ("token", "exact")
    },
    **{f"locality.{kind}.agreement": _of_kind(kind, lambda p: p.agrees) for kind in KINDS},
    **{f"locality.{kind}.bit_identical": _of_kind(kind, lambda p: p.bit_identical) for kind in KINDS},
    **{f"locality.{kind}.false_hits": _of_kind(kind, lambda p: p.sent is not None) for kind in KINDS},
    "portability.exact": _of("portability", "exact"),
    "router.recall": _in_scope(lambda p: p.sent is not None),
    "router.precision": _precision,
    "router.right_fact": _in_scope(lambda p: p.sent is not None and p.sent == p.own),
}


def figures(predictions: Sequence[Prediction]) -> dict[str, float | None]:
    """Every figure by its name (`generality.exact`); None where no prediction is about it."""
    found = {name: _mean([v for p in predictions if (v := value(p)) is not None]) for name, value in FIGURES.items()}
    if found["router.recall"] is None:  # hits out of scope alone say nothing of precision
        found["router.precision"] = None
    return found


def intervals(predictions: Sequence[Prediction], *, seed: int = 0) -> dict[str, tuple[float, float] | None]:
    """The 95 % percentile bootstrap interval of every figure; None where it was not measured.

    Facts are drawn with all of their predictions, since the probes of one fact stand and fall together.
    """
    means = figures(predictions)
    return {
        name: None if means[name] is None else _interval(predictions, value, seed) for name, value in FIGURES.items()
    }


def _interval(predictions: Sequence[Prediction], value: Value, seed: int) -> tuple[float, float]:
    told = [(p.fact, float(v)) for p in predictions if (v := value(p)) is not None]
    facts, place = np.unique([fact for fact, _ in told], return_inverse=True)
    sums = np.bincount(place, weights=[v for _, v in told])
    rows = np.bincount(place).astype(float)
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // len(facts))
    means: list[np.ndarray] = []
    for start in range(0, DRAWS, at_once):
        drawn = generator.multinomial(len(facts), np.full(len(facts), 1 / len(facts)), size=min(at_once, DRAWS - start))
        means.append(drawn @ sums / (drawn @ rows))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def nested(flat: Mapping[str, float | None]) -> dict[str, Any]:
    """Figures by name as the fields of `Metrics` they fill."""
    return {
        "reliability": _accuracy(flat, "reliability"),
        "generality": _accuracy(flat, "generality"),
        "oracle": Oracle(_accuracy(flat, "oracle.reliability"), _accuracy(flat, "oracle.generality")),
        "locality": LocalityByKind(
            **{
                kind: Locality(*(flat[f"locality.{kind}.{f}"] for f in ("agreement", "bit_identical", "false_hits")))
                for kind in KINDS
            }
        ),
        "portability": Exact(flat["portability.exact"]),
        "router": Router(*(flat[f"router.{f}"] for f in ("recall", "precision", "right_fact"))),
    }


def _accuracy(flat: Mapping[str, float | None], name: str) -> Accuracy:
    return Accuracy(flat[f"{name}.token"], flat[f"{name}.exact"])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
