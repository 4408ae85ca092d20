"""Which scopes could a prompt belong to, and what speaks for each: the gate's candidates with their evidence.

Two ways lead to a candidate: the prompt names the subject (a dictionary look-up), or its wording and its
likely name lie near an anchor (FAISS), which forgives spelling and serves facts without a subject.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifelong.anchors.contrast import narrowed, opposed
from lifelong.anchors.encoder import Encoder, Vectors
from lifelong.anchors.index import AnchorIndex
from lifelong.anchors.scope import Scope
from lifelong.anchors.subject import (
    NAME_DIM,
    Name,
    NameIndex,
    Span,
    coverage,
    goes_on,
    guess_spans,
    likeness,
    mask,
    name_vectors,
    weakest_word,
)
from lifelong.anchors.text import content_words, word_set, words
from policies.routing import FEATURES

NEIGHBOURS = 16
MAX_SAME_NAME = 32
MIN_LIKENESS = 0.6
NOT_QUITE = 0.99
"""The most that a name can count which is not found word for word."""

_NAME, _SIMILARITY = FEATURES.index("name"), FEATURES.index("similarity")

_content = lru_cache(maxsize=1 << 16)(content_words)
_said = lru_cache(maxsize=16)(word_set)


@dataclass(frozen=True)
class Candidates:
    """Scopes considered for one prompt: positions [n], evidence [n, features], anchor ids [n]."""

    scopes: NDArray[np.int64]
    evidence: NDArray[np.float64]
    anchors: NDArray[np.int64]


@dataclass(frozen=True)
class _Reading:
    """A prompt read as being about `name`: what it then says of it; `known` where facts have that name."""

    name: Name
    masked: str
    known: bool
    longer: bool = False


class _Named(NamedTuple):
    """How far a prompt names a subject: the share of the name, and its weakest word."""

    share: float
    weakest: float


class Recall:
    """Scopes, their anchor vectors (one for each anchor, in order) and the ways to find them."""

    def __init__(self, scopes: Sequence[Scope], vectors: Vectors, encoder: Encoder) -> None:
        self.scopes = scopes
        self.vectors = vectors
        sizes = [len(scope.wordings) + len(scope.alike) for scope in scopes]
        self.owner = np.repeat(np.arange(len(scopes)), sizes)
        self.first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.masked = [text for scope in scopes for text in scope.masked()]
        self._encoder = encoder
        self._by_name: dict[Name, list[int]] = defaultdict(list)
        for position, scope in enumerate(scopes):
            self._by_name[scope.name].append(position)
        self._names = NameIndex(self._by_name)
        self._usual = [_words_of(scope.wordings) for scope in scopes]
        names = name_vectors([scope.name for scope in scopes])[self.owner] if len(scopes) else np.zeros((0, NAME_DIM))
        self._familiar: dict[int, float] = {}
        self._index = AnchorIndex(_joined(vectors, names), np.arange(len(vectors), dtype=np.int64))

    def candidates(self, prompts: Sequence[str]) -> list[Candidates]:
        """The candidates of each prompt, every scope at most once, in no order."""
        readings = [self._readings(prompt) for prompt in prompts]
        flat = [reading for of_prompt in readings for reading in of_prompt]
        vectors = self._encode([reading.masked for reading in flat])
        neighbours = self._index.search(_joined(vectors, name_vectors([r.name for r in flat])), NEIGHBOURS)
        out, at = [], 0
        for prompt, of_prompt in zip(prompts, readings, strict=True):
            rows = slice(at, at + len(of_prompt))
            out.append(self._of_prompt(prompt, of_prompt, vectors[rows], neighbours[rows]))
            at += len(of_prompt)
        return out

    def _encode(self, texts: list[str]) -> Vectors:
        distinct = list(dict.fromkeys(texts))
        row = {text: i for i, text in enumerate(distinct)}
        return (
            self._encoder.encode(distinct)[[row[text] for text in texts]]
            if texts
            else np.zeros((0, self._encoder.dim), np.float32)
        )

    def _readings(self, prompt: str) -> list[_Reading]:
        found = words(prompt)
        spans = self._names.find(found)
        by_name: dict[Name, list[Span]] = defaultdict(list)
        for span in spans:
            by_name[span.name].append(span)
        readings = []
        for name, mentions in by_name.items():
            usual = self._usual[self._by_name[name][0]]
            longer = all(goes_on(prompt, found, mention, usual) for mention in mentions)
            readings.append(_Reading(name, mask(prompt, mentions), True, longer))
        likely = _likely([span for span in guess_spans(prompt, found) if span.name not in by_name])
        readings += [_Reading(name, mask(prompt, guesses), False) for name, guesses in likely.items()]
        return readings if likely else [*readings, _Reading((), prompt, False)]

    def _of_prompt(
        self, prompt: str, readings: Sequence[_Reading], vectors: Vectors, neighbours: NDArray[np.int64]
    ) -> Candidates:
        best: dict[int, tuple[list[float], int]] = {}
        named = {reading.name for reading in readings if reading.known}
        for reading, vector, near in zip(readings, vectors, neighbours, strict=True):
            if reading.known:
                considered = [(p, _Named(1.0, 1.0)) for p in self._by_name[reading.name]]
            else:
                owners = dict.fromkeys(int(self.owner[anchor]) for anchor in near if anchor >= 0)
                others = (p for p in owners if self.scopes[p].name not in named)
                considered = [(p, self._named(reading, p, prompt)) for p in others]
            familiar = self._familiarity(vector)
            for position, name, similarity, anchor in self._nearest(considered, vector):
                if name.share < MIN_LIKENESS:
                    continue
                row = self._evidence(reading, name, similarity, anchor, familiar)
                if position not in best or _worth(row) > _worth(best[position][0]):
                    best[position] = (row, anchor)
        evidence = np.array([row for row, _ in best.values()], dtype=np.float64).reshape(-1, len(FEATURES))
        anchors = np.array([anchor for _, anchor in best.values()], dtype=np.int64)
        return Candidates(np.array(list(best), dtype=np.int64), evidence, anchors)

    def _nearest(
        self, considered: Sequence[tuple[int, _Named]], vector: NDArray[np.float32]
    ) -> list[tuple[int, _Named, float, int]]:
        """(scope, name evidence, similarity, anchor) by each scope's nearest anchor; the best few of a long
        list."""
        rows = []
        for position, name in considered:
            first, last = self.first[position], self.first[position + 1]
            similar = self.vectors[first:last] @ vector
            nearest = int(np.argmax(similar))
            rows.append((position, name, float(similar[nearest]), int(first) + nearest))
        if len(rows) > MAX_SAME_NAME:
            rows = sorted(rows, key=lambda row: (-row[2], -self.scopes[row[0]].seq))[:MAX_SAME_NAME]
        return rows

    def _named(self, reading: _Reading, position: int, prompt: str) -> _Named:
        """How far an unnamed prompt names the scope's subject; for a scope without one, content words in
        common."""
        name = self.scopes[position].name
        if name:
            covered = coverage(name, _said(prompt))
            share = NOT_QUITE * max(likeness(reading.name, name), covered)
            if share < MIN_LIKENESS:  # left out, whatever its words say
                return _Named(share, 0.0)
            return _Named(share, 1.0 if covered == 1.0 else weakest_word(reading.name, name))
        said = _content(prompt)
        return _Named(NOT_QUITE * max(_jaccard(said, _content(text)) for text in self.scopes[position].wordings), 1.0)

    def _familiarity(self, vector: NDArray[np.float32]) -> float:
        """Cosine with the nearest relation that the encoder was taught; by itself, whatever else is asked."""
        return float((self._encoder.relations @ vector).max(initial=0.0))

    def _familiarity_of(self, anchor: int) -> float:
        if anchor not in self._familiar:
            self._familiar[anchor] = self._familiarity(self.vectors[anchor])
        return self._familiar[anchor]

    def _evidence(
        self, reading: _Reading, name: _Named, similarity: float, anchor: int, familiar: float
    ) -> list[float]:
        said, wording = _content(reading.masked), _content(self.masked[anchor])
        return [
            name.share,
            name.weakest,
            float(reading.longer),
            similarity,
            _jaccard(said, wording),
            1.0 / (1 + len(wording)),
            1.0 / (1 + len(said)),
            min(familiar, self._familiarity_of(anchor)),
            float(narrowed(reading.masked, self.masked[anchor])),
            float(opposed(reading.masked, self.masked[anchor])),
        ]


def _worth(row: Sequence[float]) -> float:
    """What speaks for one of two ways to the same scope: name and similarity."""
    return row[_NAME] + row[_SIMILARITY]


@lru_cache(maxsize=1 << 15)
def _words_of(wordings: tuple[str, ...]) -> frozenset[str]:
    """Kept between gates: each job builds two over nearly the same scopes."""
    return frozenset().union(*map(word_set, wordings))


def _likely(guesses: Sequence[Span]) -> dict[Name, list[Span]]:
    """What an unnamed prompt may be about: its longest guess, or all its guesses as one name taken apart."""
    if not guesses:
        return {}
    longest = max(guesses, key=lambda span: span.last - span.first)
    together = tuple(word for span in guesses for word in span.name)
    return {longest.name: [longest], together: list(guesses)}


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0


def _joined(wordings: NDArray[np.floating], names: NDArray[np.floating]) -> NDArray[np.float32]:
    """One vector of unit length for what is said and of whom."""
    return (np.concatenate([wordings, names], axis=1) * np.float32(0.5**0.5)).astype(np.float32)
