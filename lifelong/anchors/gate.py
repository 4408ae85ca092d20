"""The gate: for a prompt, the one fact whose scope it is in, or none.

Decided on the prompt alone. An exact wording is certain; everything else must score above a threshold that
is calibrated on the log's own data to a promised rate of false hits. A gate is built whole from the live
facts and never changed; the same facts make the same files, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from editlog.canonical import fold
from lifelong.anchors import stored
from lifelong.anchors.encoder import Encoder, Vectors
from lifelong.anchors.locality import CHUNK, Kept, kept, observed, scored_negatives, thresholds
from lifelong.anchors.prior import Prior, prior_for
from lifelong.anchors.recall import Candidates, Recall
from lifelong.anchors.scope import Candidate, Decision, Scope, ScopedFact, scopes_of, with_relations
from policies.calibration import LocalityBudget
from policies.routing import Evidence, Verifier, choose, kinds, latest, probability, scores

__all__ = ["Candidate", "Decision", "Gate", "Kept", "LocalityBudget", "ScopedFact"]


class Gate:
    """Routes prompts to facts; made by `build` or `load`."""

    def __init__(
        self,
        scopes: Sequence[Scope],
        vectors: Vectors,
        *,
        encoder: Encoder,
        budget: LocalityBudget,
        verifier: Verifier,
        thresholds: Mapping[str, float],
    ) -> None:
        """`vectors` [anchors, dim] hold one row for each anchor of each scope, in order."""
        self.budget = budget
        self.thresholds = dict(thresholds)
        self._scopes: tuple[Scope, ...] = tuple(scopes)
        self._vectors = vectors
        self._encoder = encoder
        self._verifier = verifier
        self._recall = Recall(self._scopes, vectors, encoder)
        self._anchors = [text for scope in self._scopes for text in scope.anchors()]
        self._exact: dict[str, list[int]] = defaultdict(list)
        for first, scope in zip(self._recall.first, self._scopes, strict=False):
            for anchor, text in enumerate(scope.wordings, start=int(first)):
                self._exact[fold(text)].append(anchor)
        self._seqs = np.array([scope.seq for scope in self._scopes], dtype=np.int64)
        self._timed = any(scope.valid_from or scope.valid_to for scope in self._scopes)

    def __len__(self) -> int:
        """Number of anchors, negative ones included."""
        return len(self._anchors)

    @property
    def encoder(self) -> Encoder:
        """What turned its wordings into vectors."""
        return self._encoder

    @property
    def facts(self) -> int:
        """Number of facts that a prompt can be sent to."""
        return sum(not scope.negative for scope in self._scopes)

    @property
    def scopes(self) -> Sequence[Scope]:
        """The scopes of all facts and of their near misses."""
        return self._scopes

    @classmethod
    def build(
        cls,
        facts: Sequence[ScopedFact],
        *,
        encoder: Encoder,
        budget: LocalityBudget,
        prior: Prior | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> Gate:
        """Embed every anchor of `facts` (live ones, each seq once, unless negative) and calibrate the thresholds, if
        those of an earlier calibration are not given; `prior` is the encoder's shipped one, if not given."""
        scopes, vectors = _embedded(facts, encoder)
        prior = prior or prior_for(encoder)
        limits = thresholds or dict.fromkeys(prior.tails, float("inf"))
        gate = cls(scopes, vectors, encoder=encoder, budget=budget, verifier=prior.verifier, thresholds=limits)
        if thresholds is None:
            gate.calibrate(prior)
        return gate

    def calibrate(self, prior: Prior | None = None) -> None:
        """Make the thresholds anew of the facts it is over; only for a gate that nothing uses yet."""
        scored = scored_negatives(self._recall, self._verifier)
        self.thresholds = thresholds(scored, self.budget, prior or prior_for(self._encoder))

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Decision]:
        """Decide each prompt, honouring validity at the moment `at` (aware; now, if not given)."""
        moment = at or datetime.now(UTC)
        decided = {i: one for i, prompt in enumerate(prompts) if (one := self._exactly(prompt, moment))}
        left = [i for i in range(len(prompts)) if i not in decided]
        for start in range(0, len(left), CHUNK):
            chunk = left[start : start + CHUNK]
            found = self._recall.candidates([prompts[i] for i in chunk])
            decided.update((i, self._decide(of_prompt, moment)) for i, of_prompt in zip(chunk, found, strict=True))
        return [decided[i] for i in range(len(prompts))]

    def explain(self, prompt: str, *, at: datetime | None = None, k: int = 5) -> Decision:
        """Decide one prompt and show the best `k` candidates with their evidence, best first."""
        moment = at or datetime.now(UTC)
        (found,) = self._recall.candidates([prompt])
        decision = self._exactly(prompt, moment) or self._decide(found, moment)
        odds, limits = self._odds(found, moment), self._limits(found)
        order = sorted(np.flatnonzero(np.isfinite(odds)), key=lambda i: (-odds[i], -self._seqs[found.scopes[i]]))
        candidates = tuple(self._candidate(found, int(i), float(odds[i]), float(limits[i])) for i in order[:k])
        return Decision(
            decision.fact, decision.score, decision.threshold, decision.anchor, decision.subject, candidates
        )

    def over(self, facts: Sequence[ScopedFact]) -> Gate:
        """The same gate over these of its facts, thresholds as they were: what is left when others were redacted."""
        scopes, vectors = _embedded(facts, self._encoder)
        return Gate(
            scopes,
            vectors,
            encoder=self._encoder,
            budget=self.budget,
            verifier=self._verifier,
            thresholds=self.thresholds,
        )

    def save(self, directory: Path) -> None:
        """Write the gate's files into `directory`, which must exist; the same gate writes the same bytes."""
        stored.write(
            directory,
            self._vectors,
            stored.Contents(
                self._encoder.name,
                self._encoder.fingerprint,
                self._encoder.dim,
                self.budget,
                self._verifier,
                self.thresholds,
                self._scopes,
            ),
        )

    @classmethod
    def load(cls, directory: Path, *, encoder: Encoder | None = None) -> Gate:
        """Read a gate back, with the encoder that it names, if none is given.

        Raises IntegrityError where its files are damaged or of another encoder, UsageError where the encoder is
        one that cannot be had.
        """
        vectors, contents, encoder = stored.read(directory, encoder)
        return cls(
            contents.scopes,
            vectors,
            encoder=encoder,
            budget=contents.budget,
            verifier=contents.verifier,
            thresholds=contents.thresholds,
        )

    def _exactly(self, prompt: str, moment: datetime) -> Decision | None:
        """The decision on a prompt that is an anchored wording: whose it is the latest says.

        A live fact comes before a retracted one, whose wordings are kept from neighbours only, and both before a
        near miss.
        """
        anchors = [a for a in self._exact.get(fold(prompt), ()) if self._scope_of(a).valid_at(moment)]
        if not anchors:
            return None
        anchor = max(anchors, key=lambda a: _standing(self._scope_of(a)))
        scope = self._scope_of(anchor)
        score = 0.0 if scope.negative else 1.0
        fact = None if scope.negative else scope.seq
        return Decision(fact, score, probability(self.thresholds["near"]), self._anchors[anchor], _subject(scope))

    def _decide(self, found: Candidates, moment: datetime) -> Decision:
        odds = self._odds(found, moment)
        best = choose(odds, self._seqs[found.scopes])
        if best is None:
            return Decision(None, 0.0, probability(self.thresholds["unrelated"]), None, None)
        limits = self._limits(found)
        hit = not self._scopes[found.scopes[best]].negative and bool(odds[best] >= limits[best])
        if hit:
            best = self._latest_twin(found, odds, limits, best)
        scope = self._scopes[found.scopes[best]]
        return Decision(
            scope.seq if hit else None,
            0.0 if scope.negative else probability(float(odds[best])),
            probability(float(limits[best])),
            self._anchors[found.anchors[best]],
            _subject(scope),
        )

    def _latest_twin(self, found: Candidates, odds: np.ndarray, limits: np.ndarray, best: int) -> int:
        """The latest fact that may ask the same of the same subject as the `best`, and is a hit itself."""
        scope = self._scopes[found.scopes[best]]
        twins = np.array([_are_twins(scope, self._scopes[i]) for i in found.scopes], dtype=bool)
        return latest(odds, self._seqs[found.scopes], best, twins & (odds >= limits))

    def _limits(self, found: Candidates) -> np.ndarray:
        """The threshold that each candidate is held to, [n]."""
        return np.array([self.thresholds[kind] for kind in kinds(found.evidence)])

    def _odds(self, found: Candidates, moment: datetime) -> np.ndarray:
        odds = scores(found.evidence, self._verifier)
        if self._timed:
            valid = np.array([self._scopes[i].valid_at(moment) for i in found.scopes], dtype=bool)
            odds = np.where(valid, odds, -np.inf)
        return odds

    def _candidate(self, found: Candidates, i: int, odds: float, limit: float) -> Candidate:
        scope = self._scopes[found.scopes[i]]
        return Candidate(
            scope.seq,
            scope.negative,
            self._anchors[found.anchors[i]],
            probability(odds),
            probability(limit),
            Evidence(*map(float, found.evidence[i])),
        )

    def _scope_of(self, anchor: int) -> Scope:
        return self._scopes[int(self._recall.owner[anchor])]

    def observed(self) -> list[Kept]:
        """How its thresholds, however old, fare on out-of-scope prompts made of the log, by kind of prompt."""
        return observed(scored_negatives(self._recall, self._verifier), self.thresholds, self.budget)

    def kept(self) -> list[Kept]:
        """Whether the promise of the budget is kept, by kind of prompt, on out-of-scope prompts made of the log."""
        scored = scored_negatives(self._recall, self._verifier)
        return kept(scored, self.budget, prior_for(self._encoder))


def _embedded(facts: Sequence[ScopedFact], encoder: Encoder) -> tuple[list[Scope], Vectors]:
    """The scopes of all facts, and a vector for each anchor of each scope."""
    scopes = with_relations([scope for fact in facts for scope in scopes_of(fact)])
    return scopes, stored.embed([text for scope in scopes for text in scope.masked()], encoder)


def _are_twins(one: Scope, other: Scope) -> bool:
    labels = {one.relation, other.relation} - {None}
    return not other.negative and bool(one.name) and one.name == other.name and len(labels) <= 1


def _standing(scope: Scope) -> tuple[bool, bool, int]:
    return not scope.negative, not scope.near_miss, scope.seq


def _subject(scope: Scope) -> str | None:
    return " ".join(scope.name) or None
