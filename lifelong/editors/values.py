"""Fitting values: for each fact a vector that, added at one position of one module's output, makes its target likely.

This is the inner optimisation of ROME and MEMIT (v*, z) and all of GRACE's training. Facts do not depend on one
another, so all of a wave are fitted in one pass, each as it would be alone. Vectors and rates count in the root mean
square of what they are added to, so a dial found on one model means the same on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from editlog.errors import UsageError
from lifelong.editors.activations import Stored, UpperLayers
from lifelong.experts.operators.rows import by_row
from lifelong.models.base import Base, batches_by_length
from lifelong.models.sites import Site, decoder_layers

ROWS_AT_ONCE = 128
IGNORED = -100
_BETAS, _EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Placed:
    """One token row of a fact: the vector is added at `position` of `prompt`; `answer` follows (empty: see `kl`)."""

    fact: int
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    position: int


@dataclass(frozen=True)
class Fit:
    """How values are fitted, lengths counted in that of what a vector is added to.

    `rate` a step; `decay` of the squared length; `kl` weighs the base's own next word behind rows without an answer;
    `clamp` is the length at most (0: any).
    """

    steps: int
    rate: float
    stop_loss: float
    decay: float = 0.0
    kl: float = 0.0
    clamp: float = 0.0


@dataclass(frozen=True, eq=False)
class Values:
    """`added` and `own` (what the module puts out by itself) float32 [facts, width]; `loss` [facts] in nats a token,
    `steps` [facts], `right` [facts]: whether every target token was the most likely one."""

    added: Tensor
    own: Tensor
    loss: Tensor
    steps: Tensor
    right: Tensor


@dataclass(frozen=True, eq=False)
class _Place:
    """Where vectors are added: a module's output, and the part of the model that reads it."""

    base: Base
    upper: UpperLayers
    path: str


@dataclass(frozen=True, eq=False)
class _Chunk:
    stored: Stored
    fact: Tensor
    columns: Tensor
    targets: Tensor
    reference: Tensor | None

    def of(self, active: Tensor) -> _Chunk | None:
        """The rows of facts that are still fitted."""
        index = active[self.fact].nonzero().squeeze(1)
        if not len(index):
            return None
        reference = None if self.reference is None else self.reference[index]
        stored = self.stored.rows(index)
        return _Chunk(stored, self.fact[index], self.columns[index], self.targets[index], reference)


def fit_values(
    base: Base,
    site: Site,
    path: str,
    rows: Sequence[Placed],
    fit: Fit,
    *,
    advance: Callable[[int], None] | None = None,
) -> Values:
    """Fit a vector for each fact, numbered from 0, at the output of the module `path`, which lies in `site`'s layer.

    Raises UsageError for the last layer: what is written at one position there is read by no later one.
    """
    layers = decoder_layers(base.model)[1]
    if site.layer == len(layers) - 1:
        raise UsageError(
            f"layer {site.layer} is the last: a value at one token of it is never read; choose an earlier one"
        )
    facts = 1 + max(row.fact for row in rows)
    upper = UpperLayers(base, [site])
    with base.frozen():
        chunks = [_chunk(base, upper, [rows[i] for i in index]) for index in _index(rows)]
        place = _Place(base, upper, path)
        return _fit(place, chunks, _own(place, chunks, facts), fit, advance)


def _index(rows: Sequence[Placed]) -> list[list[int]]:
    """Batches of like length; rows with an answer and rows without are never in one."""
    batches = []
    for with_answer in (True, False):
        places = [i for i, row in enumerate(rows) if bool(row.answer) is with_answer]
        lengths = [len(rows[i].prompt) + len(rows[i].answer) for i in places]
        batches += [[places[i] for i in index] for index in batches_by_length(lengths, ROWS_AT_ONCE)]
    return batches


def _chunk(base: Base, upper: UpperLayers, rows: Sequence[Placed]) -> _Chunk:
    tokens = [(*row.prompt, *row.answer[:-1]) for row in rows]
    batch = base.pad_left(tokens)
    length = batch.input_ids.shape[1]
    keep = max(1, *(len(row.answer) for row in rows))
    targets = torch.full((len(rows), keep), IGNORED, device=base.device)
    for i, row in enumerate(rows):
        if row.answer:
            targets[i, keep - len(row.answer) :] = torch.tensor(row.answer, device=base.device)
    with torch.no_grad():
        stored = upper.store(batch, keep)
        logits = None if rows[0].answer else upper.forward(stored, 1)[:, -1].float()
    columns = [length - len(row) + placed.position for row, placed in zip(tokens, rows, strict=True)]
    fact = torch.tensor([row.fact for row in rows], device=base.device)
    reference = None if logits is None else log_softmax(logits, -1)
    return _Chunk(stored, fact, torch.tensor(columns, device=base.device), targets, reference)


@torch.no_grad()
def _own(place: _Place, chunks: Sequence[_Chunk], facts: int) -> Tensor:
    """What the module puts out at the position, [facts, width], the mean over a fact's rows with an answer."""
    total, count = None, torch.zeros(facts, device=place.base.device)
    for chunk in chunks:
        if chunk.reference is not None:
            continue
        seen: list[Tensor] = []
        with _Adding(place, chunk, None, seen):
            place.upper.forward(chunk.stored, 1)
        total = torch.zeros(facts, seen[0].shape[1], device=place.base.device) if total is None else total
        total.index_add_(0, chunk.fact, seen[0].float())
        count.index_add_(0, chunk.fact, torch.ones_like(chunk.fact, dtype=count.dtype))
    assert total is not None
    return total / count[:, None].clamp_min(1)


class _Adding:
    """While entered, adds each row's vector at its column of the module's output; `seen` gets what stood there."""

    def __init__(self, place: _Place, chunk: _Chunk, vectors: Tensor | None, seen: list[Tensor]) -> None:
        self._module = place.base.model.get_submodule(place.path)
        self._chunk, self._vectors, self._seen = chunk, vectors, seen

    def __enter__(self) -> None:
        self._hook = self._module.register_forward_hook(self._add)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _add(self, _: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> object:
        whole = output[0] if isinstance(output, tuple) else output
        y = by_row(whole, len(self._chunk.fact))
        rows = torch.arange(len(y), device=y.device)
        if self._vectors is None:
            self._seen.append(y[rows, self._chunk.columns].detach())
            return None
        edited = y.clone()
        edited[rows, self._chunk.columns] = y[rows, self._chunk.columns] + self._vectors.to(y.dtype)
        edited = edited.view_as(whole)
        return (edited, *output[1:]) if isinstance(output, tuple) else edited


def _fit(
    place: _Place,
    chunks: list[_Chunk],
    own: Tensor,
    fit: Fit,
    advance: Callable[[int], None] | None,
) -> Values:
    length = own.norm(dim=1, keepdim=True).clamp_min(1e-6)
    unit = length / math.sqrt(own.shape[1])
    added = torch.zeros_like(own, requires_grad=True)
    first, second = torch.zeros_like(own), torch.zeros_like(own)
    best_loss = torch.zeros(len(own), device=own.device)
    taken = torch.zeros(len(own), dtype=torch.long, device=own.device)
    correct = torch.zeros(len(own), dtype=torch.bool, device=own.device)
    active = torch.ones_like(correct)
    weights = _weights(chunks, own)
    for step in range(fit.steps + 1):
        loss, right = _backward(place, chunks, added, weights, fit.kl)
        best_loss, correct = torch.where(active, loss, best_loss), torch.where(active, right, correct)
        taken[active] = step
        leaving = active & ((right & (loss < fit.stop_loss)) | (step == fit.steps))
        if leaving.any():
            active &= ~leaving
            chunks = [left for chunk in chunks if (left := chunk.of(active)) is not None]
            if advance:
                advance(int(leaving.sum()))
        if not active.any():
            break
        assert added.grad is not None
        with torch.no_grad():
            gradient = (added.grad + 2 * fit.decay * added / length.square()) * unit
            first.lerp_(gradient, 1 - _BETAS[0])
            second.lerp_(gradient.square(), 1 - _BETAS[1])
            mean = first / (1 - _BETAS[0] ** (step + 1))
            spread = (second / (1 - _BETAS[1] ** (step + 1))).sqrt()
            added -= active[:, None] * fit.rate * unit * mean / (spread + _EPS)
            if fit.clamp:
                added *= (fit.clamp * length / added.norm(dim=1, keepdim=True).clamp_min(1e-6)).clamp_max(1.0)
            added.grad = None
    return Values(added.detach(), own, best_loss, taken, correct)


def _weights(chunks: Sequence[_Chunk], own: Tensor) -> tuple[Tensor, Tensor]:
    """For each fact one over the number of its rows with an answer, and of those without."""
    counts = torch.zeros(2, len(own), device=own.device)
    for chunk in chunks:
        kind = 0 if chunk.reference is None else 1
        counts[kind].index_add_(0, chunk.fact, torch.ones_like(chunk.fact, dtype=counts.dtype))
    answers, others = 1 / counts.clamp_min(1)
    return answers, others


def _backward(
    place: _Place,
    chunks: Sequence[_Chunk],
    added: Tensor,
    weights: tuple[Tensor, Tensor],
    kl: float,
) -> tuple[Tensor, Tensor]:
    """Accumulate gradients; each fact's mean loss over its answer rows, and whether all its tokens came first."""
    loss = torch.zeros(len(added), device=added.device)
    right = torch.ones(len(added), dtype=torch.bool, device=added.device)
    for chunk in chunks:
        with _Adding(place, chunk, added[chunk.fact], []):
            if chunk.reference is None:
                counted = chunk.targets != IGNORED
                logits = place.upper.forward_at(chunk.stored, counted).float()
            else:
                logits = place.upper.forward(chunk.stored, 1)[:, -1].float()
        if chunk.reference is not None:
            far = kl_div(log_softmax(logits, -1), chunk.reference, log_target=True, reduction="none").sum(-1)
            (kl * far * weights[1][chunk.fact]).sum().backward()  # type: ignore[no-untyped-call]
            continue
        row, wanted = counted.nonzero()[:, 0], chunk.targets[counted]
        token = cross_entropy(logits, wanted, reduction="none")
        of_row = torch.zeros(len(counted), device=added.device).index_add(0, row, token) / counted.sum(1)
        (of_row * weights[0][chunk.fact]).sum().backward()  # type: ignore[no-untyped-call]
        loss.index_add_(0, chunk.fact, of_row.detach() * weights[0][chunk.fact])
        wrong = row[logits.detach().argmax(-1) != wanted]
        right[chunk.fact[wrong]] = False
    return loss, right
