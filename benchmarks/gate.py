"""Right-fact recall of the gate at a promised rate of false hits, on the test halves of the public streams.

    LIFELONG_DATA=... python benchmarks/gate.py [--encoder shipped] [--encoder lexical] [--encoder FILE] ...

Each stream is a log of its own; the prompts are the facts, nothing else is shown to the gate. `recall` is
the share of rephrases routed to their own fact, or to one that asks the same (`Stream.same`). Mislabelled and
governed probes are left out by `lifelong.evaluation.probe_rules`, and counted. Four ways to set the threshold:

- `shipped`: the gate as it is built, default budget, by kind of prompt;
- `tuned`: one threshold at that rate of false hits on the tuning half of the stream (records that no encoder
  was trained on); what it then lets through on the test half stands beside it;
- `read`: at that rate read off the test scores: what the scores could do, not what they promise;
- the baseline `subject`: every prompt that names a subject is a hit for its latest fact.

Encoders: `shipped`, `lexical` (nothing learned), `st:NAME` (sentence-transformers), or a file of
`pretraining.encoder.train`, with which `--left-out FOLD` measures the relations it was trained without.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from editlog.canonical import fold
from lifelong.anchors.encoder import Encoder, LexicalEncoder, default_encoder, read_encoder
from lifelong.anchors.gate import Decision, Gate, LocalityBudget, ScopedFact
from lifelong.anchors.prior import Prior, prior_for
from lifelong.anchors.sentence import SentenceEncoder
from lifelong.anchors.text import words
from pretraining.encoder.corpus import Corpus, corpus, fold_of, norm
from pretraining.encoder.fit_gate import Log, fit, fit_fold
from pretraining.encoder.streams import STREAMS, Record, half, load

RATES = (0.02, 0.001)


class Stream:
    """One stream's records as a log, and what is asked of it: records `asked`, and the probes that count."""

    def __init__(self, records: Sequence[Record], asked: Sequence[bool]) -> None:
        self.records = records
        self.facts = [ScopedFact(i, r.prompt, r.subject) for i, r in enumerate(records)]
        log = Log(records)
        self.names, self.index = log.names, log.index
        self.asked = [i for i, wanted in enumerate(asked) if wanted]
        sides = [log.sorted_probes(number) for number in self.asked]
        self.probes = [text for counting, _ in sides for text in counting]
        self.left_out = [text for _, apart in sides for text in apart]

    @classmethod
    def tuning(cls, name: str) -> Stream:
        """The tuning half, asked where no encoder was trained on it."""
        records = half(load(name), "tuning")
        return cls(records, [fit_fold(record) for record in records])

    @classmethod
    def test(cls, name: str, limit: int, whole: bool) -> Stream:
        """The test half; `whole`: with the tuning half's facts in the log too."""
        mine = half(load(name), "test")[: limit or None]
        others = half(load(name), "tuning") if whole else []
        return cls([*others, *mine], [False] * len(others) + [True] * len(mine))

    @property
    def rephrases(self) -> list[str]:
        """The first rephrase of each record asked."""
        return [self.records[i].rephrases[0] for i in self.asked]

    def same(self, hit: int | None, own: int) -> bool:
        """Whether a fact is a record's own, or asks the same of the same subject.

        By text and label: the same prompt, or the same subject and a true answer in common (several streams teach one
        fact twice in other words; the later one rightly governs).
        """
        if hit is None:
            return False
        one, other = self.records[hit], self.records[own]
        shared = {fold(text) for text in one.truths} & {fold(text) for text in other.truths}
        return fold(one.prompt) == fold(other.prompt) or (self.names[hit] == self.names[own] and bool(shared))

    def right(self, decisions: Sequence[Decision], best: bool = False) -> np.ndarray:
        """Whether each record asked is routed to its own fact; with `best`, whether that came nearest, hit or miss."""
        of_prompt = {fact.prompt: fact.seq for fact in self.facts}
        hits = [of_prompt.get(d.anchor or "") if best else d.fact for d in decisions]
        return np.array([self.same(hit, own) for own, hit in zip(self.asked, hits, strict=True)])


class Asked:
    """A stream put to a gate: the decisions on rephrases and on probes, counting ones and those left out."""

    def __init__(self, stream: Stream, encoder: Encoder, prior: Prior) -> None:
        began = time.perf_counter()
        self.stream = stream
        self.gate = Gate.build(stream.facts, encoder=encoder, budget=LocalityBudget(), prior=prior)
        self.build_seconds = time.perf_counter() - began
        began = time.perf_counter()
        self.rephrases = self.gate.route(stream.rephrases)
        self.ms_per_prompt = 1000 * (time.perf_counter() - began) / max(1, len(self.rephrases))
        self.probes, self.apart = self.gate.route(stream.probes), self.gate.route(stream.left_out)
        self.is_right = stream.right(self.rephrases, best=True)

    def threshold(self, rate: float, apart: bool = False) -> float:
        """The score that a share `rate` of the counting probes (with `apart`: of all) passes."""
        scores = np.sort([d.score for d in (*self.probes, *(self.apart if apart else ()))])[::-1]
        return float(scores[int(rate * len(scores))])

    def hits(self, threshold: float) -> np.ndarray:
        """Whether each rephrase reaches its own fact at this threshold."""
        return self.is_right & (np.array([d.score for d in self.rephrases]) > threshold)

    def false_hits(self, threshold: float) -> float:
        """Share of the counting probes that pass."""
        return float(np.mean([d.score > threshold for d in self.probes]))


def measure(test: Asked, tuning: Asked) -> dict[str, float]:
    """One line of the table."""
    stream = test.stream
    prompts = test.gate.route([stream.records[i].prompt for i in stream.asked])
    line = {
        "facts": len(stream.facts),
        "rephrases": len(stream.asked),
        "probes": len(stream.probes),
        "left out": len(stream.left_out),
        "prompts": stream.right(prompts).mean(),
        "shipped": stream.right(test.rephrases).mean(),
        "shipped false": np.mean([d.fact is not None for d in test.probes]),
        "shipped false, all": np.mean([d.fact is not None for d in (*test.probes, *test.apart)]),
        "build s": test.build_seconds,
        "ms a prompt": test.ms_per_prompt,
    }
    for rate in RATES:
        line[f"tuned {rate:.1%}"] = test.hits(tuning.threshold(rate)).mean()
        line[f"tuned {rate:.1%} false"] = test.false_hits(tuning.threshold(rate))
        line[f"read {rate:.1%}"] = test.hits(test.threshold(rate)).mean()
        line[f"read {rate:.1%}, all"] = test.hits(test.threshold(rate, apart=True)).mean()
    line["subject"], line["subject false"] = _subject_gate(stream)
    return line


def _subject_gate(stream: Stream) -> tuple[float, float]:
    latest = {name: i for i, name in enumerate(stream.names)}

    def of(text: str) -> int | None:
        return max((latest[span.name] for span in stream.index.find(words(text))), default=None)

    right = np.mean([stream.same(of(stream.records[own].rephrases[0]), own) for own in stream.asked])
    return float(right), float(np.mean([of(text) is not None for text in stream.probes]))


def unseen(test: Asked, tuning: Asked, left_out: int, made: Corpus) -> dict[str, float]:
    """Recall on the relations of a fold, labelled or by a wording of theirs, at the tuned threshold."""
    stream, hits = test.stream, test.hits(tuning.threshold(RATES[0]))
    masked = [scope.masked()[0] for scope in test.gate.scopes]
    own = [stream.records[i].relation for i in stream.asked]
    worded = [made.relations_of.get(norm(masked[i]), set()) for i in stream.asked]
    relations = [{label} if label else of_it for label, of_it in zip(own, worded, strict=True)]
    is_unseen = np.array([bool(of_it) and all(fold_of(r) == left_out for r in of_it) for of_it in relations])
    return {"unseen": int(is_unseen.sum()), "unseen tuned 2.0%": hits[is_unseen].mean() if is_unseen.any() else np.nan}


def show_failures(test: Asked, count: int) -> None:
    """The first misses and false hits of the gate as it ships, with the score and threshold that decided them."""
    stream = test.stream
    for i in np.flatnonzero(~stream.right(test.rephrases))[:count]:
        d, record = test.rephrases[i], stream.records[stream.asked[i]]
        click.echo(f"  missed {d.score:.2f}/{d.threshold:.2f}: {record.prompt!r} <- {record.rephrases[0]!r}")
    false = [(text, d) for text, d in zip(stream.probes, test.probes, strict=True) if d.fact is not None]
    for text, d in false[:count]:
        click.echo(f"  false  {d.score:.2f}/{d.threshold:.2f}: {d.anchor!r} <- {text!r}")


def encoder_named(name: str) -> Encoder:
    """An encoder by its name on the command line."""
    if name == "shipped":
        return default_encoder()
    if name == "lexical":
        return LexicalEncoder()
    if name.startswith("st:"):
        return SentenceEncoder(name.removeprefix("st:"))
    return read_encoder(Path(name))


@click.command()
@click.option("--encoder", "encoders", multiple=True, default=("shipped",), show_default=True)
@click.option("--stream", "streams", multiple=True, type=click.Choice(list(STREAMS)), default=tuple(STREAMS))
@click.option("--limit", default=0, help="Facts of each stream; 0: all.")
@click.option("--whole", is_flag=True, help="Put the facts of both halves into the log; still ask the test half.")
@click.option("--left-out", type=int, help="The fold of relations that the encoders were trained without.")
@click.option("--failures", default=0, help="Show so many of each kind.")
def main(
    *, encoders: tuple[str, ...], streams: tuple[str, ...], limit: int, whole: bool, left_out: int | None, failures: int
) -> None:
    """Print one JSON line for each encoder and stream."""
    made = corpus() if left_out is not None else None
    for name in encoders:
        encoder = encoder_named(name)
        fitted = None if name in ("shipped", "lexical") else fit({s: half(load(s), "tuning") for s in STREAMS}, encoder)
        for stream in streams:
            prior = fitted or prior_for(encoder)
            test = Asked(Stream.test(stream, limit, whole), encoder, prior)
            tuning = Asked(Stream.tuning(stream), encoder, prior)
            line = measure(test, tuning)
            if made is not None and left_out is not None:
                line |= unseen(test, tuning, left_out, made)
            rounded = {key: round(float(value), 4) for key, value in line.items()}
            click.echo(json.dumps({"encoder": name, "stream": stream, **rounded}))
            if failures:
                show_failures(test, failures)


if __name__ == "__main__":
    main()
