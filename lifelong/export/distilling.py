"""Facts into the weights of a plain model, which has no gate: taught by gradient, the base its own teacher elsewhere.

What is taught are the facts' wordings. What is kept is what the base itself says: after near misses, and after texts
that it wrote. The weights of the layers in which experts stand learn both at once, until every wording is answered;
what no text spoke for is for the audit to say (`lifelong.export.merged`).

To hold to the base's own predictions where nothing is to change: Li and Hoiem, 2016 (arXiv 1606.09282).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from lifelong.editors import Lesson, Wave
from lifelong.editors.activations import Stored, UpperLayers
from lifelong.editors.parallel import IGNORED, Chunk, answer_loss, chunks_of
from lifelong.editors.preparation import generated
from lifelong.editors.views import Row, wave_rows
from lifelong.jobs.progress import Progress
from lifelong.models.base import GENERATION_BATCH, Base, batches_by_length
from lifelong.models.sites import all_sites, decoder_layers

PASSES = 120
"""Steps over each chunk of wordings at most."""
RATE = 0.03
"""Of Adam, in root mean squares of the weight that learns."""
KEEP = 20.0
"""Weight of the divergence from the base, in nats a token, beside the loss of a wording."""
BETAS = (0.9, 0.98)
SURE, EASY = 0.02, 0.1
"""Losses of a wording, in nats a token: below the one nothing more is asked of it, below the other it is learnt."""
KEPT_ROWS = 48
"""Texts to keep that a step looks at."""
OPENINGS, OPENING_TOKENS = 96, 12
"""Texts that the base wrote, and how much of each it is asked to go on from."""
BORROWED = 4
"""Near misses a fact, its own and those that other facts lend it, whose next word is kept."""


def answers(base: Base, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
    """What a model says to each prompt, greedily, however many they are."""
    said: dict[int, str] = {}
    for index in batches_by_length([len(base.prompt_ids(prompt)) for prompt in prompts], GENERATION_BATCH):
        texts = base.generate([prompts[i] for i in index], max_new_tokens=max_new_tokens)
        said.update(zip(index, texts, strict=True))
    return [said[i] for i in range(len(prompts))]


def rows_of(base: Base, lessons: Sequence[Lesson], near_misses: Mapping[str, str], *, max_new_tokens: int) -> list[Row]:
    """What is taught, and (`beside`, or without an answer) what is kept, which is no wording of a fact.

    `near_misses`: prompts with what the base says to them.
    """
    rows = wave_rows(base, Wave((tuple(lessons),)), contexts=0, near_misses=BORROWED)
    wordings = {row.prompt for row in rows if row.answer}
    rows = [row for row in rows if row.answer or row.prompt not in wordings]
    written = generated(base, count=OPENINGS, tokens=OPENING_TOKENS)
    said = {**near_misses, **dict(zip(written, answers(base, written, max_new_tokens=max_new_tokens), strict=True))}
    return [*rows, *(_kept_row(base, *pair, max_new_tokens) for pair in said.items())]


def _kept_row(base: Base, prompt: str, said: str, max_new_tokens: int) -> Row:
    """A prompt with what the base says to it, to be kept token by token."""
    answer = base.tokenizer(said, add_special_tokens=False)["input_ids"]
    ended = [base.eos_id] if len(answer) < max_new_tokens else []
    return Row(0, tuple(base.prompt_ids(prompt)), (*answer, *ended), beside=True)


def distil(fresh: Base, layers: Sequence[int], rows: Sequence[Row], progress: Progress) -> None:
    """Teach `fresh`, a base of its own that nothing else uses, all rows at once, in the weights of `layers`."""
    upper = UpperLayers(fresh, all_sites(fresh.model, layers))
    chunks = list(chunks_of(fresh, upper, rows))
    taught = [chunk for chunk in chunks if _is_taught(chunk)]
    kept = [_Kept.of(upper, chunk) for chunk in chunks if not _is_taught(chunk)]
    stack = decoder_layers(fresh.model)[1]
    learner = _Learner([weight for layer in layers for weight in stack[layer].parameters() if weight.dim() > 1])
    draw = torch.Generator().manual_seed(0)
    steps = PASSES * len(taught)
    progress.stage("distil", steps)
    with fresh.frozen():
        learner.unfreeze()
        unsure = set(range(len(taught)))
        for step in range(steps):
            place = step % len(taught)
            loss, sure = _loss(upper, taught[place])
            unsure = unsure - {place} if sure else unsure | {place}
            if not unsure:
                break
            for other in kept:
                loss = loss + KEEP / len(kept) * other.divergence(upper, draw)
            loss.backward()  # type: ignore[no-untyped-call]
            learner.step(RATE * (1 - step / steps) ** 0.5)
            progress.advance(1)
    progress.done()


def _is_taught(chunk: Chunk) -> bool:
    return chunk.targets is not None and not chunk.beside


def _counted(chunk: Chunk) -> Tensor:
    """The positions that predict something, bool [rows, keep]."""
    if chunk.targets is not None:
        return chunk.targets != IGNORED
    counted = torch.zeros(chunk.stored.hidden.shape[:2], dtype=torch.bool, device=chunk.stored.hidden.device)
    counted[:, -1] = True
    return counted


def _loss(upper: UpperLayers, chunk: Chunk) -> tuple[Tensor, bool]:
    """The mean loss over a chunk's wordings, in nats a token, and whether each is answered with ease."""
    assert chunk.targets is not None
    loss, right = answer_loss(upper.forward_at(chunk.stored, _counted(chunk)).float(), chunk.targets)
    return loss.clamp_min(SURE).mean(), bool(right.all() and loss.max() < EASY)


@dataclass(frozen=True, eq=False)
class _Kept:
    """Texts, and the base's log-probabilities behind them, float16 [counted positions, vocabulary], row by row."""

    stored: Stored
    counted: Tensor
    reference: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, upper: UpperLayers, chunk: Chunk) -> _Kept:
        counted = _counted(chunk)
        logits = upper.forward_at(chunk.stored, counted).float()
        return cls(chunk.stored, counted, log_softmax(logits, -1).half())

    def divergence(self, upper: UpperLayers, draw: torch.Generator) -> Tensor:
        """Mean KL(base || taught) over the tokens of some of the texts, in nats."""
        rows = torch.randperm(len(self.counted), generator=draw)[:KEPT_ROWS].sort().values.to(self.counted.device)
        logits = upper.forward_at(self.stored.rows(rows), self.counted[rows]).float()
        chosen = torch.zeros_like(self.counted)
        chosen[rows] = True
        reference = self.reference[chosen[self.counted]].float()
        return kl_div(log_softmax(logits, -1), reference, log_target=True, reduction="none").sum(-1).mean()


class _Learner:
    """Adam on float32 copies of weights of any dtype; its rates count in the root mean square of each weight."""

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        self._weights = weights
        self._masters = [weight.detach().float().clone() for weight in weights]
        self._units = [float(master.square().mean().sqrt()) for master in self._masters]
        self._adam = torch.optim.Adam([{"params": [master], "lr": 0.0} for master in self._masters], betas=BETAS)

    def unfreeze(self) -> None:
        """Let the weights take gradients."""
        for weight in self._weights:
            weight.requires_grad_(True)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each weight by its gradient, which is forgotten."""
        groups = zip(self._weights, self._masters, self._units, self._adam.param_groups, strict=True)
        for weight, master, unit, group in groups:
            master.grad = torch.zeros_like(master) if weight.grad is None else weight.grad.float()
            group["lr"] = rate * unit
            weight.grad = None
        self._adam.step()
        for weight, master in zip(self._weights, self._masters, strict=True):
            weight.copy_(master)
