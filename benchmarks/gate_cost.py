"""What the gate costs: of one completion, and of one search.

    LIFELONG_DATA=... python benchmarks/gate_cost.py [--facts 10000] [--anchors 100000]

Routing a prompt and completing it with 64 tokens are timed in turns in one process on one thread, in CPU time,
so that their ratio holds on a busy machine; medians. The search is the exact one, over vectors as wide as the gate's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

import click
import numpy as np
import torch

from lifelong.anchors.encoder import default_encoder
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact
from lifelong.anchors.index import AnchorIndex
from lifelong.anchors.recall import NEIGHBOURS
from lifelong.anchors.subject import NAME_DIM
from lifelong.models.base import Base
from pretraining.encoder.streams import load

TOKENS, ROUNDS = 64, 40


def milliseconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    began = time.process_time()
    call()
    return 1000 * (time.process_time() - began)


def completion(facts: int) -> dict[str, float]:
    """Routing against completing, with so many facts of CounterFact in the gate."""
    records = load("counterfact")[:facts]
    made = [ScopedFact(i, record.prompt, record.subject) for i, record in enumerate(records)]
    gate = Gate.build(made, encoder=default_encoder(), budget=LocalityBudget())
    base = Base.load()
    asked = [record.rephrases[0] for record in records[:: max(1, len(records) // ROUNDS)]][:ROUNDS]
    gate.route(asked[:2])
    base.generate(asked[:1], max_new_tokens=TOKENS)
    length = {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS}
    routed, completed = [], []
    for prompt in asked:
        routed.append(milliseconds(lambda p=prompt: gate.route([p])))
        completed.append(milliseconds(lambda p=prompt: base.generate([p], **length)))
    return {
        "facts": len(made),
        "anchors": len(gate),
        "route ms": median(routed),
        "64 tokens ms": median(completed),
        "share": median(routed) / median(completed),
    }


def search(anchors: int) -> dict[str, float]:
    """One exact search over so many anchors."""
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((anchors, default_encoder().dim + NAME_DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = AnchorIndex(vectors, np.arange(anchors, dtype=np.int64))
    times = [milliseconds(lambda row=row: index.search(vectors[row : row + 1], NEIGHBOURS)) for row in range(ROUNDS)]
    return {"anchors": anchors, "width": vectors.shape[1], "search ms": median(times)}


@click.command()
@click.option("--facts", default=10_000, show_default=True)
@click.option("--anchors", default=100_000, show_default=True)
def main(facts: int, anchors: int) -> None:
    """Print both as JSON lines."""
    torch.set_num_threads(1)
    for line in (completion(facts), search(anchors)):
        click.echo(json.dumps({key: round(value, 4) for key, value in line.items()}))


if __name__ == "__main__":
    main()
