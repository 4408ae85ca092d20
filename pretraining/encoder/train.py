"""Train the masked encoder: contrast each wording with its like, against other relations and its own near
misses.

    LIFELONG_DATA=... python -m pretraining.encoder.train [--steps 1500] [--seed 0] [--out FILE]

One thread, three to six minutes. The shipped encoder is two of these, seeds 0 and 1 (`pretraining.encoder.join`). Then
`python -m pretraining.encoder.fit_gate` fits the gate's prior for it.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from lifelong.anchors.encoder import PARTS, Features
from lifelong.anchors.prior import DATA
from lifelong.anchors.text import words
from pretraining.encoder.corpus import LABEL_FORMS, Corpus, Pair, corpus, norm
from pretraining.encoder.dressing import dressed
from pretraining.settings import data_folder

NAME = "masked-3"
BUCKETS, WIDTH, HIDDEN, DIM = 32768, 96, 384, 128
LEARNING_RATE = 3e-3
TEMPERATURE = 0.06
DROPOUT = 0.3
SHARES = {
    "relations": 120,
    "counterfact": 24,
    "zsre": 24,
    "knowedit": 24,
    "wikibigedit": 24,
    "halluedit": 24,
    "made_up": 24,
    "text": 12,
}
NEAREST, REFRESH = 10, 250
DRESSED = 0.1  # of the wordings of either side
VERB_FORMS = (
    "Who {v}ed [X]?",
    "By whom was [X] {v}ed?",
    "[X] was {v}ed by",
    "Which person {v}ed [X]?",
    "[X], {v}ed by",
    "What is the name of the one who {v}ed [X]?",
)
_NAMES = re.compile(r"(?<= )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
SURELY_OTHER = 0.55  # an unlabelled pair's in-batch negatives that look more alike than this may be the same relation


class Network(nn.Module):
    """The network of `lifelong.anchors.encoder.MaskedEncoder`, in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.randn(BUCKETS, WIDTH) * 0.3)
        self.hidden = nn.Linear(2 * WIDTH, HIDDEN)
        self.output = nn.Linear(HIDDEN, DIM)

    def forward(self, bag: tuple, grams: tuple) -> torch.Tensor:
        """Vectors [n, DIM], L2-normalised, of two ragged bags (flat ids, offsets)."""
        bags = [functional.embedding_bag(ids, self.embeddings, offsets, mode="mean") for ids, offsets in (bag, grams)]
        return functional.normalize(self.output(functional.gelu(self.hidden(torch.cat(bags, 1)), approximate="tanh")))

    def tensors(self) -> dict[str, np.ndarray]:
        """The shipped form, fp16."""
        parts = (
            self.embeddings,
            self.hidden.weight.T,
            self.hidden.bias,
            self.output.weight.T,
            self.output.bias,
        )
        return {
            name: np.ascontiguousarray(part.detach().numpy().astype(np.float16))
            for name, part in zip(PARTS, parts, strict=True)
        }


class Batches:
    """Draws batches of (one, other, against) wordings and says which of them may be of one relation."""

    def __init__(self, made: Corpus, seed: int) -> None:
        self._made = made
        self._draw = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._features = Features(BUCKETS)
        self._kept = frozenset(made.texts())
        self._cache: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._names = {name: i for i, name in enumerate(made.relations)}
        self._labelled = [r for r, texts in made.relations.items() if len(texts) > 1]
        # A relation we wrote wordings for says more than the ten forms of a bare label.
        self._chance = [len(made.relations[r]) ** 0.5 - 2.5 for r in self._labelled]
        self._neighbours: dict[str, list[str]] = {}
        with gzip.open(data_folder() / "text" / "wikipedia-sentences.txt.gz", "rt", encoding="utf-8") as file:
            self._sentences = [line.strip()[:120] for line in file if len(line) > 30]

        said = Counter(word.text for sentence in self._sentences for word in words(sentence) if word.text.isalpha())
        self._nouns = [word for word, count in said.items() if len(word) > 3 and 3 <= count <= 500]
        self._proper = [name for line in self._sentences for name in _NAMES.findall(line[1:])]

    def next(self) -> list[Pair]:
        """One batch."""
        pairs = [self._of_relations() for _ in range(SHARES["relations"])]
        for stream, share in SHARES.items():
            if stream in self._made.pairs:
                pairs += self._draw.choices(self._made.pairs[stream], k=share)
        pairs = [replace(pair, one=self._dress(pair.one), other=self._dress(pair.other)) for pair in pairs]
        pairs += [self._made_up() for _ in range(SHARES["made_up"])]
        return pairs + [Pair(text, text) for text in self._draw.choices(self._sentences, k=SHARES["text"])]

    def _of_relations(self) -> Pair:
        relation = self._draw.choices(self._labelled, self._chance)[0]
        one, other = self._draw.sample(self._made.relations[relation], 2)
        near = self._neighbours.get(relation)
        against = (self._draw.choice(self._made.relations[self._draw.choice(near)]),) if near else ()
        return Pair(one, other, relation, tuple(t for t in against if relation not in self._made.relations_of[norm(t)]))

    def _dress(self, text: str) -> str:
        return dressed(text, self._proper, self._draw) if self._draw.random() < DRESSED else text

    def _made_up(self) -> Pair:
        """A relation that nobody has: any word, in two forms of asking. It teaches what is form and what is
        matter."""
        word, second = self._draw.sample(self._nouns, 2)
        if self._draw.random() < 0.35:
            one, other, third = (form.format(v=word) for form in self._draw.sample(VERB_FORMS, 3))
            return Pair(one, other, against=(third.replace(word, second),))
        label = word if self._draw.random() < 0.5 else f"{second} {word}"
        one, other, third = (form.format(r=label) for form in self._draw.sample(LABEL_FORMS, 3))
        return Pair(one, other, against=(third.replace(word, self._draw.choice(self._nouns)),))

    def refresh(self, network: Network) -> None:
        """Find each relation's nearest others, from which its hard negatives are drawn."""
        with torch.no_grad():
            centres = torch.stack([network(*self.bags(ts, 0.0)).mean(0) for ts in self._made.relations.values()])
            near = functional.normalize(centres)
            found = (near @ near.T).topk(NEAREST + 1).indices[:, 1:].tolist()
        names = list(self._names)
        self._neighbours = {names[i]: [names[j] for j in row] for i, row in enumerate(found)}

    def bags(self, texts: list[str], dropout: float) -> tuple[tuple, tuple]:
        """Features of the texts, each left out with probability `dropout`; a text keeps its first if none is left."""
        both = zip(*(self._ids(text) for text in texts), strict=True)
        return tuple(_ragged(side, self._noise, dropout) for side in both)

    def _ids(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        if (found := self._cache.get(text)) is None:
            found = tuple(np.array(bag) for bag in self._features(text))
            if text in self._kept:  # made-up and dressed ones never come again
                self._cache[text] = found
        return found

    def may_be(self, texts: list[str], relations: list[str | None]) -> torch.Tensor:
        """[n, relations] 1.0 where a text may be of a relation: its own, and any that has the same wording."""
        out = np.zeros((len(texts), len(self._names)), dtype=np.float32)
        for row, (text, relation) in enumerate(zip(texts, relations, strict=True)):
            for name in (relation, *self._made.relations_of.get(norm(text), ())):
                if name in self._names:
                    out[row, self._names[name]] = 1.0
        return torch.from_numpy(out)


def _ragged(
    bags: Sequence[np.ndarray], noise: np.random.Generator, dropout: float
) -> tuple[torch.Tensor, torch.Tensor]:
    sizes = np.array([len(bag) for bag in bags])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    flat = np.concatenate(bags)
    kept = noise.random(len(flat), dtype=np.float32) >= dropout
    kept[starts[np.add.reduceat(kept, starts, dtype=np.int64) == 0]] = True
    left = np.add.reduceat(kept, starts, dtype=np.int64)
    return torch.from_numpy(flat[kept]), torch.from_numpy(np.concatenate([[0], np.cumsum(left)[:-1]]))


def loss_of(network: Network, batches: Batches, pairs: list[Pair]) -> torch.Tensor:
    """InfoNCE over the batch: each `one` finds its `other` among all others and all near misses."""
    against = [(row, text) for row, pair in enumerate(pairs) for text in pair.against[:2]]
    ones, rest = [p.one for p in pairs], [p.other for p in pairs] + [text for _, text in against]
    a, b = network(*batches.bags(ones, DROPOUT)), network(*batches.bags(rest, DROPOUT))
    cosine = a @ b.T
    n = len(pairs)
    may_a = batches.may_be(ones, [p.relation for p in pairs])
    may_b = batches.may_be(rest, [p.relation for p in pairs] + [None] * len(against))
    known = may_a.any(1)[:, None] & may_b.any(1)[None]
    ignore = (may_a @ may_b.T > 0) | (~known & (cosine.detach() > SURELY_OTHER))
    ignore[torch.arange(n), torch.arange(n)] = False
    for column, (row, _) in enumerate(against, start=n):
        ignore[row, column] = False
    logits = (cosine / TEMPERATURE).masked_fill(ignore, -1e4)
    return functional.cross_entropy(logits, torch.arange(n))


@click.command()
@click.option("--steps", default=1500, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--left-out", type=int, help="Leave the relations of this fold out, to measure on them.")
@click.option("--out", type=click.Path(path_type=Path), default=DATA / "encoder.safetensors", show_default=True)
def main(steps: int, seed: int, left_out: int | None, out: Path) -> None:
    """Train and write the encoder."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    made = corpus(left_out)
    batches, network = Batches(made, seed), Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    began, running = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        if step % REFRESH == 0:
            batches.refresh(network)
        loss = loss_of(network, batches, batches.next())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % 100 == 0:
            click.echo(json.dumps({"step": step, "loss": running / 100, "seconds": round(time.monotonic() - began)}))
            running = 0.0
    save_file(network.tensors(), out, metadata={"name": NAME})


if __name__ == "__main__":
    main()
