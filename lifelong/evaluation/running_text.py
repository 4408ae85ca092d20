"""Running text: what edits do to passages that are no questions at all.

A passage is routed once, by its beginning, and read to its end. Where it misses, its loss must be the base's to the
last bit; where it hits, its perplexity shows the drift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from editlog.errors import UsageError
from lifelong.evaluation.pools import DATA_VARIABLE, data_file
from lifelong.experts.bank import MISS
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel

SHIPPED = "text/wikitext2-valid.txt"
WINDOW = 64
"""Tokens of a passage; the first quarter of it is the prompt that is routed."""
ROWS = 64


class Drift(NamedTuple):
    """Passages and tokens read, how many passages hit, perplexities a token, and whether no miss changed."""

    passages: int
    tokens: int
    hits: int
    base: float
    edited: float
    unchanged: bool


def text_file(given: Path | None) -> Path:
    """The text to read: the file given, else that of the public data; raises UsageError where there is none."""
    found = given or data_file(SHIPPED)
    if found is None:
        raise UsageError(f"there is no text: name a file with --text, or the public data's folder in {DATA_VARIABLE}")
    return found


def drift(
    edited: EditedModel, text: str, *, most: int | None = None, advance: Callable[[int], None] | None = None
) -> Drift:
    """Perplexity of the first `most` passages (None: all) with the edits and without; raises UsageError for no text."""
    base = edited.base
    ids = base.prompt_ids(text)
    rows = [ids[start : start + WINDOW] for start in range(0, len(ids) - WINDOW + 1, WINDOW)][:most]
    if not rows:
        raise UsageError(f"the text is too short: a passage has {WINDOW} tokens")
    prompts = base.tokenizer.batch_decode([row[: WINDOW // 4] for row in rows])
    routes = edited.route(prompts)
    sums = {"base": 0.0, "edited": 0.0}
    unchanged = True
    for start in range(0, len(rows), ROWS):
        part, here = rows[start : start + ROWS], routes[start : start + ROWS]
        before = _losses(base, part)
        with edited.bank.serving(here, after=[WINDOW - WINDOW // 4] * len(here)):
            after = _losses(base, part)
        misses = torch.tensor([route == MISS for route in here])
        unchanged &= bool(torch.equal(before[misses], after[misses]))
        sums["base"] += float(before.double().sum())
        sums["edited"] += float(after.double().sum())
        if advance:
            advance(len(part))
    tokens = len(rows) * (WINDOW - 1)
    hits = sum(route != MISS for route in routes)
    of_base, of_edited = (math.exp(sums[name] / tokens) for name in ("base", "edited"))
    return Drift(len(rows), tokens, hits, of_base, of_edited, unchanged)


@torch.no_grad()
def _losses(base: Base, rows: Sequence[Sequence[int]]) -> Tensor:
    """The loss of each token but the first, float32 [rows, WINDOW - 1]."""
    batch = base.pad_left(rows)
    logits = base.forward(batch)[:, :-1].float()
    return cross_entropy(logits.flatten(0, 1), batch.input_ids[:, 1:].flatten(), reduction="none").view(len(rows), -1)
