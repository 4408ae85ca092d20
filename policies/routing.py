"""From evidence to a decision: how well a prompt fits a fact, and which candidate wins.

A candidate is one fact for one prompt. Its evidence is a row of features, its score a logistic model's
log-odds that the prompt is in the fact's scope. The verifier ships with the encoder it was fitted for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evidence:
    """What speaks for one fact; shares lie in 0 to 1."""

    name: float
    """Does the prompt name the fact's subject? 1: word for word; else how alike the nearest name is."""
    weakest_word: float
    """How alike the least alike word of the shorter name is to a word of the other: low where one word of a name was
    put in the place of another ("Ralph J. Roberts", "Ralph Arthur Roberts"), high where it is misspelt or left out."""
    longer_name: float
    """1 where the name goes on in the prompt ("Toyota" in "Toyota Sequoia"), else 0."""
    similarity: float
    """Cosine of the masked prompt with the fact's nearest wording."""
    overlap: float
    """Share of content words that the masked prompt and that wording have in common (Jaccard)."""
    bare_anchor: float
    """1 / (1 + content words of that wording): a wording that says nothing of its relation has little to
    match."""
    bare_prompt: float
    """The same of the masked prompt."""
    familiar: float
    """The lesser cosine of the two with the nearest relation that the encoder was taught: where both are known well and
    are not quite alike they ask different things, where one is strange the cosine between them says less."""
    narrowed: float
    """1 where a word that narrows ("first", "vice") stands in one of the two only, else 0."""
    opposed: float
    """1 where one says the opposite of a word of the other ("opened", "closed"), else 0."""


KINDS = ("near", "unrelated")
"""What a candidate is to the prompt, and by which it is held to a threshold: near, where they share the subject's name
or the wording of the relation; else unrelated."""
SAME_RELATION = 0.5
"""From this similarity on a prompt words the same relation as an anchor."""
TWIN = 2.0
"""How much less well, in log-odds, a later fact about the same subject may fit and still be meant. On the tuning halves
it sends 162 of 183 rephrases of facts that were corrected in other words to the latest (94 without), and 2 of 454
others to a wrong fact of their subject."""

_LATER = ("familiar", "narrowed", "opposed")
FEATURES = tuple(field.name for field in fields(Evidence))


@dataclass(frozen=True)
class Weights:
    """A logistic model over evidence: log-odds = bias + weights . evidence."""

    bias: float
    name: float
    weakest_word: float
    longer_name: float
    similarity: float
    overlap: float
    bare_anchor: float
    bare_prompt: float
    familiar: float = 0.0
    narrowed: float = 0.0
    opposed: float = 0.0

    @classmethod
    def read(cls, record: Mapping[str, float]) -> Weights:
        """Weights from plain data; raises ValueError where one is missing, unknown or not finite.

        What an older snapshot does not know of weighs nothing there.
        """
        known = dict.fromkeys(_LATER, 0.0) | dict(record)
        if set(known) != {"bias", *FEATURES} or not all(np.isfinite(value) for value in known.values()):
            raise ValueError(f"gate weights must be finite numbers for bias, {', '.join(FEATURES)}")
        return cls(**{name: float(value) for name, value in known.items()})

    def record(self) -> dict[str, float]:
        """The weights as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Verifier:
    """Two models: for prompts that name the fact's subject word for word, and for all others.

    Among the first the wording decides, among the others first of all how alike the names are.
    """

    named: Weights
    unnamed: Weights

    @classmethod
    def read(cls, record: Mapping[str, Mapping[str, float]]) -> Verifier:
        """A verifier from plain data; raises ValueError or KeyError where it is malformed."""
        return cls(Weights.read(record["named"]), Weights.read(record["unnamed"]))

    def record(self) -> dict[str, dict[str, float]]:
        """The verifier as plain data."""
        return {"named": self.named.record(), "unnamed": self.unnamed.record()}


def scores(evidence: NDArray[np.floating], verifier: Verifier) -> NDArray[np.float64]:
    """Log-odds of each row of `evidence` [n, features]; a row with a NaN scores minus infinity."""
    rows = np.asarray(evidence, dtype=np.float64).reshape(-1, len(FEATURES))
    odds = np.where(is_named(rows), _log_odds(rows, verifier.named), _log_odds(rows, verifier.unnamed))
    return np.where(np.isfinite(odds), odds, -np.inf)


def is_named(evidence: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether the prompt names the subject word for word, for each row of `evidence` [n, features]."""
    return np.asarray(evidence[:, FEATURES.index("name")] == 1.0)


def _log_odds(rows: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    bias, *slopes = (getattr(weights, field.name) for field in fields(weights))
    # Sum by column, in one order, so that a row's score never depends on how many rows are scored together.
    odds = np.full(len(rows), bias)
    for column, slope in enumerate(slopes):
        odds = odds + slope * rows[:, column]
    return odds


def kinds(evidence: NDArray[np.floating]) -> NDArray[np.str_]:
    """The kind, one of KINDS, of each row of `evidence` [n, features]."""
    rows = np.asarray(evidence, dtype=np.float64).reshape(-1, len(FEATURES))
    near, unrelated = KINDS
    similar = rows[:, FEATURES.index("similarity")] >= SAME_RELATION
    return np.where(is_named(rows) | similar, near, unrelated)


def choose(scored: NDArray[np.floating], seqs: NDArray[np.integer]) -> int | None:
    """Position of the best finite score, ties to the larger seq; None where there is none."""
    if not len(scored) or not np.isfinite(scored).any():
        return None
    best = np.flatnonzero(scored == scored[np.isfinite(scored)].max())
    return int(best[np.argmax(seqs[best])])


def latest(scored: NDArray[np.floating], seqs: NDArray[np.integer], best: int, twins: NDArray[np.bool_]) -> int:
    """Position of the latest among `best` and those `twins` [n] that fit within TWIN log-odds as well as it.

    Who corrects a fact in other words does not repeal it; two facts that ask the same of one subject fit its prompts
    about equally well, and the later one is meant.
    """
    alike = np.flatnonzero(twins & (scored >= scored[best] - TWIN))
    return int(max((best, *alike), key=lambda position: seqs[position]))


def probability(odds: float) -> float:
    """Log-odds as a probability; of infinite odds, exactly 0 or 1."""
    return float(1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0)))) if np.isfinite(odds) else float(odds > 0)
