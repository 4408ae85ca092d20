"""The factors of many low-rank experts in one stack, in units that fit any model.

A row of A is a key: what the site reads where an answer is predicted, scaled so that its own key answers 1.
A column of B is a value, and values are counted in norms of what they are added to: the residual stream, or,
where the site writes inside its block, what the site itself puts out. Both learning rates are in these
units, so a dial found on one model means the same on another. Starting from the
example's own key, as ROME and GRACE do, took a third of the steps that a random A took, and generalised
better (docs/LOG.md).

LoRA: Hu et al., 2021 (arXiv 2106.09685). Adam: Kingma and Ba, 2014 (arXiv 1412.6980).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lifelong.experts.operators.lowrank import delta
from lifelong.experts.operators.rows import by_row
from lifelong.models.base import Base
from lifelong.models.sites import Site
from policies.recipe import Training

ADAM_BETAS = (0.6, 0.95)
ADAM_EPS = 1e-8
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Examples:
    """What a chunk's rows show before any edit.

    `expert` int64 [rows]; `counted` bool [rows, keep] marks the positions that predict an answer; `inputs` by
    site path [rows, keep, in]; `added_to` by site path [rows, keep, width] is what a value would be added to.
    """

    expert: Tensor
    counted: Tensor
    inputs: Mapping[str, Tensor]
    added_to: Mapping[str, Tensor]


class FactorStack:
    """A [experts, rank, in] and B [experts, out, rank] for each site, with Adam moments; all float32.

    Every operation is element by element or expert by expert: an expert trains in a stack as it would alone.
    """

    def __init__(self, base: Base, sites: Sequence[Site], names: Sequence[str], rank: int, seed: int) -> None:
        """Random A that depends on each expert's name and the seed alone, and B of zeros: no edit yet."""
        self._base = base
        self._paths = [site.path for site in sites]
        generators = [_generator(name, seed) for name in names]
        self._values: list[Tensor] = []
        for site in sites:
            keys = torch.stack([torch.randn(rank, site.in_features, generator=g) for g in generators])
            self._values += [keys / math.sqrt(site.in_features), torch.zeros(len(names), site.out_features, rank)]
        places = [base.device_of(path) for path in self._paths for _ in range(2)]
        self._values = [value.to(place).requires_grad_() for value, place in zip(self._values, places, strict=True)]
        self._moments = [(torch.zeros_like(v), torch.zeros_like(v)) for v in self._values]
        self._units = [torch.ones(len(names), device=value.device) for value in self._values]
        self._steps = 0

    def __len__(self) -> int:
        return len(self._values[0])

    @property
    def device(self) -> torch.device:
        """Where losses are counted; factors lie where their sites compute, which a device map may put elsewhere."""
        return self._base.device

    @torch.no_grad()
    def align(self, examples: Sequence[Examples]) -> None:
        """Set A to the experts' own keys and the units to their norms.

        Row i of A becomes the mean of what the site reads at the i-th position of the answers (the last row:
        at all that remain), scaled to answer 1 to itself; a row with no such position stays random.
        """
        for i, path in enumerate(self._paths):
            inputs = [e.inputs[path].float() for e in examples]
            keys, values = self._values[2 * i], self._values[2 * i + 1]
            rank = keys.shape[1]
            for row in range(rank):
                key = self._mean(inputs, examples, row, None if row == rank - 1 else row + 1).to(keys.device)
                norm = key.norm(dim=-1, keepdim=True)
                keys[:, row] = torch.where(norm > TINY, key / norm.square().clamp_min(TINY), keys[:, row])
            norm = self._mean(inputs, examples, 0, None).norm(dim=-1).clamp_min(TINY).to(keys.device)
            self._units[2 * i] = 1 / (norm * math.sqrt(keys.shape[2]))
            whole = self._mean([e.added_to[path] for e in examples], examples, 0, None).norm(dim=-1).to(keys.device)
            self._units[2 * i + 1] = whole / math.sqrt(values.shape[1])

    @torch.no_grad()
    def limit(self, ranks: Sequence[int]) -> None:
        """Give each expert its own rank, at most the stack's: what lies beyond is zero, and zero it stays."""
        for i in range(len(self._paths)):
            for part, rows in ((self._values[2 * i], 1), (self._values[2 * i + 1], 2)):
                beyond = torch.arange(part.shape[rows])[None] >= torch.tensor(ranks)[:, None]
                part.masked_fill_(beyond.to(part.device).unsqueeze(3 - rows), 0)

    def _mean(self, tensors: Sequence[Tensor], examples: Sequence[Examples], start: int, stop: int | None) -> Tensor:
        """Mean by expert over the answers' positions from `start` to before `stop`, [experts, width]."""
        total = torch.zeros(len(self), tensors[0].shape[-1], device=self.device)
        count = torch.zeros(len(self), 1, device=self.device)
        for tensor, example in zip(tensors, examples, strict=True):
            order = example.counted.cumsum(1) - 1
            chosen = example.counted & (order >= start) & (order < (stop or order.shape[1]))
            total.index_add_(0, example.expert, (tensor.float() * chosen[..., None]).sum(1))
            count.index_add_(0, example.expert, chosen.sum(1, keepdim=True).float())
        return total / count.clamp_min(1)

    @contextlib.contextmanager
    def adding(self, expert: Tensor) -> Iterator[None]:
        """Within this block each site adds the delta of each row's expert (int64 [rows]), and only deltas learn."""
        with contextlib.ExitStack() as hooks:
            hooks.enter_context(self._base.frozen())
            for path, a, b in zip(self._paths, self._values[::2], self._values[1::2], strict=True):

                def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor, a: Tensor = a, b: Tensor = b) -> Tensor:
                    x, own = by_row(inputs[0].to(y.device), len(expert)).float(), expert.to(y.device)
                    return y + delta(x, a.index_select(0, own), b.index_select(0, own)).to(y.dtype).view(y.shape)

                hooks.callback(self._base.model.get_submodule(path).register_forward_hook(add).remove)
            yield

    def zero_gradients(self) -> None:
        """Forget the gradients of the last step."""
        for value in self._values:
            value.grad = None

    @torch.no_grad()
    def step(self, dials: Training, *, progress: float) -> None:
        """One Adam step on every expert; both rates fall linearly to half over the job (`progress` 0 to 1)."""
        self._steps += 1
        beta1, beta2 = ADAM_BETAS
        rates = (dials.key_rate, dials.value_rate)
        for i, (value, (first, second)) in enumerate(zip(self._values, self._moments, strict=True)):
            gradient = torch.zeros_like(value) if value.grad is None else value.grad
            first.lerp_(gradient, 1 - beta1)
            second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            spread = (second / (1 - beta2**self._steps)).sqrt_().add_(ADAM_EPS)
            rate = rates[i % 2] * (1 - 0.5 * progress) / (1 - beta1**self._steps)
            value.sub_(first / spread * (rate * self._units[i])[:, None, None])

    @torch.no_grad()
    def load(self, factors: Sequence[tuple[Tensor, Tensor]], place: int = 0) -> None:
        """Set A [rank, in] and B [out, rank] of one expert, site by site; of fewer ranks, its first ones."""
        for i, (a, b) in enumerate(factors):
            keys, values = self._values[2 * i], self._values[2 * i + 1]
            keys[place, : len(a)] = a.to(keys.device)
            values[place, :, : len(a)] = b.to(values.device)

    def of(self, place: int) -> dict[str, tuple[Tensor, Tensor]]:
        """A and B of one expert by site path, as they are now."""
        return {
            path: (self._values[2 * i][place].detach().clone(), self._values[2 * i + 1][place].detach().clone())
            for i, path in enumerate(self._paths)
        }

    @torch.no_grad()
    def remove(self, leaving: Tensor) -> Tensor:
        """Take experts (bool [experts]) out; returns each one's new place, -1 for those that left."""
        stay = (~leaving).nonzero().squeeze(1)
        for i, value in enumerate(self._values):
            own = stay.to(value.device)
            kept = value.detach()[own].requires_grad_()
            kept.grad = None if value.grad is None else value.grad[own]
            self._values[i] = kept
            self._moments[i] = (self._moments[i][0][own], self._moments[i][1][own])
            self._units[i] = self._units[i][own]
        renumbered = torch.full((len(leaving),), -1, dtype=torch.long, device=leaving.device)
        renumbered[stay] = torch.arange(len(stay), device=leaving.device)
        return renumbered


def _generator(name: str, seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\x00{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
