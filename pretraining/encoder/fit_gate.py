"""Fit what the gate knows beforehand about an encoder: evidence weights and the tails of negatives.

    LIFELONG_DATA=... python -m pretraining.encoder.fit_gate [--encoder lexical]

Reads the probes of tuning records only, and of those only the fold that no encoder was trained on
(`fit_fold`). Every stream weighs the same. Mislabelled and governed probes are left out by rule.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np

from editlog.canonical import fold
from lifelong.anchors.encoder import Encoder, LexicalEncoder, Vectors, default_encoder
from lifelong.anchors.locality import score_negative
from lifelong.anchors.prior import DATA, Prior
from lifelong.anchors.recall import NOT_QUITE, Candidates, Recall
from lifelong.anchors.scope import ScopedFact, mask_name, scopes_of
from lifelong.anchors.sentence import SentenceEncoder
from lifelong.anchors.stored import embed
from lifelong.anchors.subject import Name, NameIndex, guess_name, subject_name
from lifelong.evaluation.probe_rules import Edit, is_apart
from policies.calibration import LocalityBudget, Tail
from policies.routing import FEATURES, KINDS, SAME_RELATION, Verifier, Weights, is_named
from pretraining.encoder.contrasts import contrasts_of
from pretraining.encoder.streams import STREAMS, Record, digest, half, load

TAIL = 256
FEWEST = 100
RIDGE = 1e-3
STEPS = 40
LONGEST_STEP = 4.0
_CONTRASTS = np.isin(FEATURES, ("narrowed", "opposed"))


@dataclass(frozen=True)
class Candidacies:
    """Evidence [n, features] of candidates, whether each was right, and whether its prompt was made (`contrasts`)."""

    evidence: np.ndarray
    label: np.ndarray
    made: np.ndarray

    def where(self, chosen: np.ndarray) -> Candidacies:
        """Some of them."""
        return Candidacies(self.evidence[chosen], self.label[chosen], self.made[chosen])


@dataclass(frozen=True)
class Rows(Candidacies):
    """The candidates of one stream; and its out-of-scope probes as the gate sees them."""

    probes: list[Candidates]
    worded: np.ndarray

    def named(self) -> Candidacies:
        """Those whose subject the prompt names word for word."""
        return self.where(is_named(self.evidence))

    def unnamed(self) -> Candidacies:
        """All others, and the first as if they named it in nearly the same words.

        Streams ask little of a subject in other words for its name: without these nothing says that then, too, the
        wording must be right.
        """
        others, nearly = self.where(~is_named(self.evidence)), self.named()
        evidence = nearly.evidence.copy()
        evidence[:, FEATURES.index("name")] = NOT_QUITE
        return Candidacies(
            np.concatenate([others.evidence, evidence]),
            np.concatenate([others.label, nearly.label]),
            np.concatenate([others.made, nearly.made]),
        )


def fit_fold(record: Record) -> bool:
    """Whether a tuning record is kept from the encoder, for fitting the gate (half of them)."""
    return (digest(record.prompt) >> 8) % 2 == 0


@dataclass
class Log:
    """Records as one log: what is needed to say which of their locality probes count."""

    records: Sequence[Record]

    def __post_init__(self) -> None:
        self.names = [subject_name(record.subject, [record.prompt]) for record in self.records]
        self.index = NameIndex(self.names)
        self._prompts = frozenset(fold(record.prompt) for record in self.records)
        self._edits: dict[Name, list[Edit]] = defaultdict(list)
        for name, record in zip(self.names, self.records, strict=True):
            edit = Edit((record.prompt, *record.rephrases), record.answers, record.relation)
            self._edits[name].append(edit)

    def sorted_probes(self, number: int) -> tuple[list[str], list[str]]:
        """The record's locality probes that count, and those left out: mislabelled or governed, by rule."""
        sides: tuple[list[str], list[str]] = ([], [])
        name = self.names[number]
        for probe in self.records[number].locality:
            apart = is_apart(
                probe.prompt,
                probe.answers,
                name,
                others=self.index,
                prompts=self._prompts,
                edits=self._edits[name],
            )
            sides[apart].append(probe.prompt)
        return sides


def rows_of(records: Sequence[Record], encoder: Encoder) -> Rows:
    """The candidates of the rephrases and counting locality probes of `fit_fold`, all the records being the log.

    The log is whole, so that a probe meets as many facts of its subject as it would in use.
    """
    scopes = [scopes_of(ScopedFact(i, r.prompt, r.subject))[0] for i, r in enumerate(records)]
    recall = Recall(scopes, embed([text for scope in scopes for text in scope.masked()], encoder), encoder)
    log = Log(records)
    mine = [(i, r) for i, r in enumerate(records) if fit_fold(r)]
    asked = [(text, i) for i, r in mine for text in r.rephrases]
    probes = [text for i, _ in mine for text in log.sorted_probes(i)[0]]
    contrasts = [text for _, r in mine for text in contrasts_of(r.prompt)]
    found = recall.candidates([*(text for text, _ in asked), *probes, *contrasts])
    evidence, label, made = [], [], []
    for number, candidates in enumerate(found):
        right = asked[number][1] if number < len(asked) else -1
        rivals = candidates.scopes != right
        if right >= 0 and scopes[right].name:  # facts of the same subject may rightly take a rephrase
            rivals &= np.array([scopes[i].name != scopes[right].name for i in candidates.scopes], dtype=bool)
        keep = rivals | (candidates.scopes == right)
        evidence.append(candidates.evidence[keep])
        label.append((candidates.scopes == right)[keep])
        made.append(np.full(keep.sum(), number >= len(asked) + len(probes)))
    worded = _is_worded(embed([mask_name(text, guess_name([text])) for text in probes], encoder), recall)
    return Rows(
        np.concatenate(evidence),
        np.concatenate(label),
        np.concatenate(made),
        found[len(asked) : len(asked) + len(probes)],
        worded,
    )


def _is_worded(vectors: Vectors, recall: Recall) -> np.ndarray:
    """Whether masked prompts [n, dim] word the relation of any fact, bool [n]."""
    return np.asarray((vectors @ recall.vectors.T).max(axis=1, initial=-1.0) >= SAME_RELATION)


def logistic(rows: np.ndarray, label: np.ndarray, weight: np.ndarray, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Ridge logistic regression of `label` [n] on `rows` [n, k] beside fixed log-odds, by Newton's method; [k]."""
    beta = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-(rows @ beta + offset)))
        gradient = rows.T @ (weight * (p - label)) + RIDGE * beta
        curvature = (rows * (weight * p * (1 - p))[:, None]).T @ rows + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(curvature, gradient)
        beta -= step * min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-12))
    return beta


def fit(streams: dict[str, list[Record]], encoder: Encoder) -> Prior:
    """The prior of an encoder, every stream and within it every label weighing the same."""
    by_stream = [rows_of(records, encoder) for records in streams.values()]
    fitted = Verifier(named=_fitted(by_stream, named=True), unnamed=_fitted(by_stream, named=False))
    return Prior(fitted, _tails(by_stream, fitted))


def _fitted(streams: Sequence[Rows], named: bool) -> Weights:
    """Weights fitted on what people ask; then those of the contrasts, on made ones too, with the others as they are."""
    mine = [rows.named() if named else rows.unnamed() for rows in streams]
    evidence = np.concatenate([rows.evidence for rows in mine])
    label = np.concatenate([rows.label for rows in mine])
    asked = ~np.concatenate([rows.made for rows in mine])
    weight = np.concatenate([_even(rows.label, ~rows.made) for rows in mine])
    plain = np.concatenate([np.ones((len(evidence), 1)), evidence[:, ~_CONTRASTS]], axis=1)
    odds = logistic(plain[asked], label[asked], weight[asked])
    contrast = logistic(evidence[:, _CONTRASTS], label, weight, plain @ odds)
    slopes = np.zeros(len(FEATURES))
    slopes[~_CONTRASTS], slopes[_CONTRASTS] = odds[1:], contrast
    return Weights.read({"bias": float(odds[0]), **dict(zip(FEATURES, slopes.tolist(), strict=True))})


def _even(label: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """A weight for each row of a stream, so that of what is `asked` either label weighs the same."""
    right, wrong = (max(1, int((asked & (label == side)).sum())) for side in (True, False))
    return 500 * np.where(label, 1 / right, 1 / wrong)


def _scores(rows: Rows, verifier: Verifier) -> dict[str, list[float]]:
    """Best scores of the stream's out-of-scope probes, by the kind of evidence that they probe."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for candidates, worded in zip(rows.probes, rows.worded, strict=True):
        everything = np.ones(len(candidates.scopes), dtype=bool)
        for each in score_negative(candidates, everything, verifier, bool(worded)):
            found[each.kind].append(each.score)
    return found


def _tails(streams: Sequence[Rows], verifier: Verifier) -> dict[str, Tail]:
    """Near probes: the tail of the stream with the hardest ones; unrelated ones are pooled.

    A pool would let an easy stream pay for a hard one: the promise is to hold on each.
    """
    scored = [_scores(rows, verifier) for rows in streams]
    tails = {"unrelated": _tail([score for each in scored for score in each["unrelated"]])}
    enough = [tail for each in scored if (tail := _tail(each["near"])).count >= FEWEST]
    tails["near"] = max(enough, key=lambda tail: tail.reached_by(LocalityBudget().near))
    return tails


def _tail(best: list[float]) -> Tail:
    known = sorted((score for score in best if np.isfinite(score)), reverse=True)
    return Tail(len(best), tuple(round(score, 4) for score in known[:TAIL]))


@click.command()
@click.option(
    "--encoder", default="default", show_default=True, help="default, lexical, or a sentence-transformers model."
)
def main(encoder: str) -> None:
    """Write the encoder's entry of data/gate.json; a sentence-transformers model stands for its family."""
    made: Encoder = {"lexical": LexicalEncoder, "default": default_encoder}.get(
        encoder, lambda: SentenceEncoder(encoder)
    )()
    streams = {name: half(load(name), "tuning") for name in STREAMS}
    prior = fit(streams, made)
    path = DATA / "gate.json"
    records = json.loads(path.read_text("utf-8"))
    records[made.name.partition(":")[0]] = prior.record()
    path.write_text(json.dumps(records, sort_keys=True) + "\n", "utf-8")
    click.echo(json.dumps(prior.record()["verifier"]))
    click.echo(str({kind: (tail.count, tail.top[:8]) for kind, tail in prior.tails.items()}))


if __name__ == "__main__":
    main()
