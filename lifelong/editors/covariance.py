"""What a module reads on ordinary text: the uncentred covariance of its inputs, learned once per base and cached.

ROME, MEMIT and their kin keep an edit away from ordinary keys by it. A few tens of thousands of tokens are enough for
the widths of small bases, and take seconds; more text is a matter of `--corpus`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from editlog.errors import UsageError
from lifelong.editors.preparation import Corpus, prepared
from lifelong.editors.reading import READ_BATCH, watching
from lifelong.editors.state import State
from lifelong.models.base import Base, batches_by_length

MAX_TOKENS = 96
SAMPLE = 4096
RIDGE = 1e-4
"""Added to the diagonal, in its mean: directions that the text never shows must not be free of charge."""


class Definite:
    """A positive definite matrix, float64 [n, n], factored once for all systems that are solved with it."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    @cached_property
    def _factor(self) -> Tensor:
        factor: Tensor = torch.linalg.cholesky(self.matrix)
        return factor

    def solve(self, columns: Tensor) -> Tensor:
        """M⁻¹X for float64 X [n, columns]."""
        solved: Tensor = torch.cholesky_solve(columns, self._factor)
        return solved


def covariances(base: Base, corpus: Corpus, paths: Sequence[str]) -> dict[str, Definite]:
    """E[k kᵀ] of what each module reads, [in, in] by path."""
    found = {}
    for path in paths:
        state = prepared(
            base,
            corpus,
            what="covariance",
            dials={"path": path, "tokens": MAX_TOKENS},
            learn=lambda texts, path=path: State({"covariance": second_moment(base, path, texts)}),  # type: ignore[misc]
        )
        moment = state.tensors["covariance"].double()
        ridge = RIDGE * moment.diagonal().mean().clamp_min(1e-12)
        found[path] = Definite(moment + ridge * torch.eye(len(moment), dtype=torch.float64))
    return found


def ordinary_keys(base: Base, corpus: Corpus, path: str) -> Tensor:
    """What a module reads at tokens drawn evenly from the corpus, float32 [at most SAMPLE, in]."""

    def learn(texts: list[str]) -> State:
        keys = torch.cat(list(_keys(base, path, texts)))
        return State({"keys": keys[torch.linspace(0, len(keys) - 1, min(SAMPLE, len(keys))).long()].cpu()})

    dials = {"path": path, "tokens": MAX_TOKENS, "sample": SAMPLE}
    return prepared(base, corpus, what="keys", dials=dials, learn=learn).tensors["keys"]


@torch.no_grad()
def second_moment(base: Base, path: str, texts: Sequence[str]) -> Tensor:
    """The mean of k kᵀ over the tokens of texts (each cut to MAX_TOKENS), float32 [in, in]."""
    total: Tensor | None = None
    count = 0
    for keys in _keys(base, path, texts):
        product = (keys.T @ keys).double().cpu()
        total = product if total is None else total + product
        count += len(keys)
    if total is None:
        raise UsageError("the corpus has no text that the base can read; give another with --corpus")
    return (total / count).float()


@torch.no_grad()
def _keys(base: Base, path: str, texts: Sequence[str]) -> Iterator[Tensor]:
    """What a module reads at every token of the texts, float32 [tokens, in] a batch."""
    rows = [row for text in texts if (row := base.prompt_ids(text)[:MAX_TOKENS])]
    for index in batches_by_length([len(row) for row in rows], READ_BATCH):
        batch = base.pad_left([rows[i] for i in index])
        with watching(base, [path], len(index)) as (inputs, _):
            base.forward(batch, keep=1)
        yield inputs[path][batch.attention_mask.bool()].float()
