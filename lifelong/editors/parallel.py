"""Fitting a stack of low-rank experts in one pass.

`fit_stack` owns the loop: forward over stored activations, loss, Adam, and the leaving of experts that are
done. Rows are cut into chunks of like answers once; a chunk's rows never change order, so a wave of fixed
composition, seed and thread count gives the same experts every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from lifelong.editors.activations import Stored, UpperLayers
from lifelong.editors.factors import Examples, FactorStack
from lifelong.editors.reading import watching
from lifelong.editors.regularisers import informed_loss, informed_predictions
from lifelong.editors.views import Row
from lifelong.models.base import Base, runs
from lifelong.models.sites import Site
from policies.recipe import Training

ROWS_PER_CHUNK = 256
IGNORED = -100


@dataclass(frozen=True, eq=False)
class Fitted:
    """One expert's factors by site path, the loss of its worst wording, the steps it took, and whether it is done."""

    factors: dict[str, tuple[Tensor, Tensor]]
    loss: float
    steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows trained together. `expert` int64 [rows] indexes the experts still in the stack.

    `targets` int64 [rows, keep], padded in front with IGNORED, for rows with an answer; for near misses
    `reference` holds the base's log-probabilities [rows, vocabulary] instead. `informed` [rows, keep, vocabulary] are
    those of a base that reads the fact; rows that stand `beside` say nothing of whether it is learnt.
    """

    stored: Stored
    expert: Tensor
    targets: Tensor | None
    reference: Tensor | None
    informed: Tensor | None = None
    beside: bool = False

    @property
    def keep(self) -> int:
        """How many positions at the end are predicted."""
        return self.targets.shape[1] if self.targets is not None else 1

    def without(self, renumbered: Tensor) -> Chunk | None:
        """The rows of experts that stay, under new numbers (`renumbered[old]`, -1: gone); None if all are gone."""
        expert = renumbered[self.expert]
        index = (expert >= 0).nonzero().squeeze(1)
        if len(index) == 0:
            return None
        return Chunk(
            self.stored.rows(index),
            expert[index],
            None if self.targets is None else self.targets[index],
            None if self.reference is None else self.reference[index],
            None if self.informed is None else self.informed[index],
            self.beside,
        )


def fit_stack(
    base: Base,
    sites: Sequence[Site],
    rows: Sequence[Row],
    *,
    names: Sequence[str],
    ranks: Sequence[int],
    dials: Training,
    steps: int,
    seed: int,
    begin: Mapping[int, Mapping[str, tuple[Tensor, Tensor]]] | None = None,
    advance: Callable[[Sequence[int]], None] | None = None,
) -> list[Fitted]:
    """Fit one expert for each name, of the rank in the same place of `ranks`, on the rows that carry its index.

    An expert depends on its name, the seed, its own rows and where it begins alone: at its own keys, or, where
    `begin` names its place, at these A and B by site path. `advance` hears which experts are done.
    """
    upper = UpperLayers(base, list(sites))
    chunks = list(chunks_of(base, upper, rows))
    stack = FactorStack(base, sites, names, max(ranks), seed)
    shown = [chunk for chunk in chunks if chunk.targets is not None and not chunk.beside]
    stack.align([_examples(base, upper, chunk, sites) for chunk in shown])
    for place, factors in (begin or {}).items():
        stack.load([factors[site.path] for site in sites], place)
    stack.limit(ranks)
    members = list(range(len(names)))
    done: dict[int, Fitted] = {}
    for step in range(steps + 1):
        worst, right = _backward(upper, chunks, stack, dials)
        converged = right & (worst < dials.stop_loss)
        leaving = converged if step < steps else torch.ones_like(converged)
        places = leaving.nonzero().flatten().tolist()
        for place in places:
            factors, rank = stack.of(place), ranks[members[place]]
            factors = {path: (a[:rank].clone(), b[:, :rank].clone()) for path, (a, b) in factors.items()}
            done[members[place]] = Fitted(factors, float(worst[place]), step, bool(converged[place]))
        if places:
            if advance:
                advance([members[place] for place in places])
            members = [member for place, member in enumerate(members) if not leaving[place]]
            renumbered = stack.remove(leaving)
            chunks = [kept for chunk in chunks if (kept := chunk.without(renumbered)) is not None]
        if not members:
            break
        stack.step(dials, progress=step / steps)
    return [done[i] for i in range(len(names))]


def _examples(base: Base, upper: UpperLayers, chunk: Chunk, sites: Sequence[Site]) -> Examples:
    """What the sites read and are added to where the chunk's answers are predicted, from one pass of the base."""
    assert chunk.targets is not None
    paths = [site.path for site in sites]
    with torch.no_grad(), watching(base, paths, len(chunk.expert)) as (inputs, outputs):
        upper.forward(chunk.stored, chunk.keep)
    stream = chunk.stored.hidden
    added_to = {site.path: stream if site.out_features == stream.shape[-1] else outputs[site.path] for site in sites}
    return Examples(
        expert=chunk.expert,
        counted=chunk.targets != IGNORED,
        inputs={path: x[:, -chunk.keep :] for path, x in inputs.items()},
        added_to={path: x[:, -chunk.keep :] for path, x in added_to.items()},
    )


def _backward(
    upper: UpperLayers, chunks: Sequence[Chunk], stack: FactorStack, dials: Training
) -> tuple[Tensor, Tensor]:
    """Accumulate the stack's gradients over all chunks.

    The loss is a sum over experts of the mean over their wordings, plus the weighted KL of their near misses, plus
    what the options of `regularisers` add: the mean over the rows beside, and the weighted KL to the informed base.
    Returns for each expert the loss of its worst wording (nats a token) and whether every token of every
    wording is the most likely one; both [experts].
    """
    wordings = torch.zeros(2, len(stack), device=stack.device)
    worst = torch.zeros(len(stack), device=stack.device)
    right = torch.ones(len(stack), dtype=torch.bool, device=stack.device)
    for chunk in chunks:
        if chunk.targets is not None:
            wordings[int(chunk.beside)].index_add_(0, chunk.expert, torch.ones_like(chunk.expert, dtype=worst.dtype))
    stack.zero_gradients()
    for chunk in chunks:
        if chunk.targets is not None:
            with stack.adding(chunk.expert):
                logits = upper.forward_at(chunk.stored, chunk.targets != IGNORED).float()
            loss, correct = answer_loss(logits, chunk.targets)
            if not chunk.beside:
                worst.scatter_reduce_(0, chunk.expert, loss.detach(), "amax")
                right[chunk.expert[~correct]] = False
            if chunk.informed is not None:
                loss = loss + dials.lti_weight * informed_loss(logits, chunk.informed, chunk.targets != IGNORED)
            total = (loss / wordings[int(chunk.beside)][chunk.expert]).sum()
        else:
            with stack.adding(chunk.expert):
                logits = upper.forward(chunk.stored, chunk.keep).float()
            total = dials.near_miss_weight * _near_miss_loss(logits, chunk.reference).sum()
        total.backward()  # type: ignore[no-untyped-call]
    return worst, right


def answer_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Per row: mean cross-entropy over answer tokens [rows], and whether all of them are most likely [rows].

    `logits` [tokens, vocabulary] are those of the targets [rows, keep] that count, row by row.
    """
    counted = targets != IGNORED
    wanted = targets[counted]
    row = counted.nonzero()[:, 0]
    lengths = counted.sum(1)
    token_loss = cross_entropy(logits, wanted, reduction="none")
    loss = torch.zeros(len(targets), dtype=token_loss.dtype, device=token_loss.device).index_add(0, row, token_loss)
    right = torch.ones_like(lengths, dtype=torch.bool)
    right[row[logits.detach().argmax(-1) != wanted]] = False
    return loss / lengths, right


def _near_miss_loss(logits: Tensor, reference: Tensor | None) -> Tensor:
    """Per row: KL(base || edited) of the next token, in nats."""
    assert reference is not None
    return kl_div(log_softmax(logits[:, -1], -1), reference, log_target=True, reduction="none").sum(-1)


def chunks_of(base: Base, upper: UpperLayers, rows: Sequence[Row]) -> Iterator[Chunk]:
    """The rows of a wave in chunks of like length, rows with an answer first; what no edit changes is stored."""
    answers = [row for row in rows if row.answer and not row.beside]
    beside = [row for row in rows if row.answer and row.beside]
    near = [row for row in rows if not row.answer]
    for part in (answers, beside, near):
        # Answers of one length together first: it is their positions that are computed at every step.
        part.sort(key=lambda row: (len(row.answer), len(row.prompt)))
        for run in runs([len(row.prompt) + len(row.answer) for row in part], ROWS_PER_CHUNK):
            yield _chunk(base, upper, part[run])


def _chunk(base: Base, upper: UpperLayers, rows: Sequence[Row]) -> Chunk:
    keep = max(1, *(len(row.answer) for row in rows))
    batch = base.pad_left([(*row.prompt, *row.answer[:-1]) for row in rows])
    keep = min(keep, batch.input_ids.shape[1])
    stored = upper.store(batch, keep)
    expert = torch.tensor([row.expert for row in rows], device=base.device)
    if rows[0].answer:
        targets = torch.full((len(rows), keep), IGNORED)
        for i, row in enumerate(rows):
            targets[i, keep - len(row.answer) :] = torch.tensor(row.answer)
        informed = informed_predictions(base, rows, keep) if rows[0].informed else None
        return Chunk(stored, expert, targets.to(base.device), None, informed, rows[0].beside)
    with torch.no_grad():
        reference = log_softmax(upper.forward(stored, 1)[:, -1].float(), -1)
    return Chunk(stored, expert, None, reference)
