"""What every figure means, and `Metrics`, the one object they end up in.

A figure that was not measured is None, never left out and never zero. Shares are 0 to 1.
"""

from __future__ import annotations

import resource
import sys
import unicodedata
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Accuracy:
    """Two views of the same answers, never to be mixed.

    `token`: teacher-forced; the mean over answers of the share of target tokens, end-of-text included, that
    come first given the target tokens before them. `exact`: generated; the share of answers that, decoded
    greedily to their natural stop, are the target (see `is_exact`).
    """

    token: float | None = None
    exact: float | None = None


@dataclass(frozen=True)
class Exact:
    """Share of answers that, decoded greedily to their natural stop, are what was expected."""

    exact: float | None = None


@dataclass(frozen=True)
class Oracle:
    """The same answers with the right expert given: what is lost besides is the router's doing."""

    reliability: Accuracy = Accuracy()
    generality: Accuracy = Accuracy()


@dataclass(frozen=True)
class Locality:
    """Prompts out of scope, with the edits against without.

    `agreement`: share whose greedy answers are equal; `bit_identical`: share whose next-token logits are
    equal bit for bit in the same padded batch; `false_hits`: share that the gate sends to any fact.
    """

    agreement: float | None = None
    bit_identical: float | None = None
    false_hits: float | None = None


@dataclass(frozen=True)
class LocalityByKind:
    """Locality by what a probe shares with its fact (`probe_rules.kind_of`)."""

    unrelated: Locality = Locality()
    same_relation: Locality = Locality()
    same_subject: Locality = Locality()


@dataclass(frozen=True)
class Router:
    """The gate on generality probes (in scope) and locality probes (out of scope).

    `recall`: share of the probes in scope that hit any fact; `precision`: share of the hits that are in
    scope; `right_fact`: share of all probes in scope that hit their own fact, a miss being wrong.
    """

    recall: float | None = None
    precision: float | None = None
    right_fact: float | None = None


@dataclass(frozen=True)
class Metrics:
    """The figures of one measurement; `to_dict` has the keys and the order that scripts rely on.

    `edits` counts the records of the stream, with duplicate and superseded ones; `counts` says how many rows
    stand behind each figure. `governed_probes` counts the probes that another edit governs or that are
    wrongly labelled: they stand in no other figure.
    """

    edits: int
    recipe: str | None = None
    model: str | None = None
    reliability: Accuracy = Accuracy()
    generality: Accuracy = Accuracy()
    oracle: Oracle = Oracle()
    locality: LocalityByKind = LocalityByKind()
    portability: Exact = Exact()
    retention: Exact = Exact()
    router: Router = Router()
    governed_probes: int | None = None
    seconds_per_edit: float | None = None
    bytes_per_edit: float | None = None
    peak_mb: float | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def is_exact(generated: str, target: str) -> bool:
    """Whether the texts are equal in NFC, white space at their ends aside; case and punctuation count."""
    return unicodedata.normalize("NFC", generated).strip() == unicodedata.normalize("NFC", target).strip()


def peak_mb() -> float:
    """The largest resident size of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
