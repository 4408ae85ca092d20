"""Signals: what gradient descent would tell a layer of each fact, read off the base and not applied.

A token that predicts a part of an answer gives a pair: its key, what a module reads there, and its value gradient, the
derivative of the fact's loss by what the module puts out. Rows go through the model in chunks, so memory does not
grow with the number of facts but by the pairs themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.editors.activations import UpperLayers
from lifelong.editors.parallel import IGNORED, answer_loss, chunks_of
from lifelong.editors.views import Row
from lifelong.experts.operators.rows import by_row
from lifelong.models.base import Base
from lifelong.models.sites import Site


@dataclass(frozen=True, eq=False)
class Signals:
    """Pairs of all answer tokens, those of a fact together: `fact` int64 [tokens], and by site path `keys` float32
    [tokens, in] and `gradients` float32 [tokens, out], all on the CPU."""

    fact: Tensor
    keys: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]


def signals(base: Base, sites: Sequence[Site], rows: Sequence[Row]) -> Signals:
    """The pairs of `rows`, whose `expert` is the number of their fact; every row has an answer."""
    upper = UpperLayers(base, list(sites))
    facts: list[Tensor] = []
    keys: dict[str, list[Tensor]] = {site.path: [] for site in sites}
    gradients: dict[str, list[Tensor]] = {site.path: [] for site in sites}
    with base.frozen():
        for chunk in chunks_of(base, upper, rows):
            assert chunk.targets is not None
            counted = chunk.targets != IGNORED
            with _probes(base, sites) as (read, probes):
                logits = upper.forward_at(chunk.stored, counted).float()
            answer_loss(logits, chunk.targets)[0].sum().backward()  # type: ignore[no-untyped-call]
            facts.append(chunk.expert[counted.nonzero()[:, 0]].cpu())
            for path, probe in probes.items():
                assert probe.grad is not None
                at = (slice(None), slice(-chunk.keep, None))
                keys[path].append(by_row(read[path], len(counted))[at][counted].detach().float().cpu())
                gradients[path].append(by_row(probe.grad, len(counted))[at][counted].float().cpu())
    fact = torch.cat(facts)
    order = fact.argsort(stable=True)
    return Signals(
        fact[order],
        {path: torch.cat(parts)[order] for path, parts in keys.items()},
        {path: torch.cat(parts)[order] for path, parts in gradients.items()},
    )


@contextlib.contextmanager
def _probes(base: Base, sites: Sequence[Site]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Within this block each site adds zeros to what it puts out; what it read, and the zeros to differentiate by."""
    read: dict[str, Tensor] = {}
    probes: dict[str, Tensor] = {}

    def hook(path: str) -> Any:
        def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
            read[path], probes[path] = inputs[0], torch.zeros_like(y).requires_grad_()
            return y + probes[path]

        return add

    with contextlib.ExitStack() as stack:
        for site in sites:
            stack.callback(base.model.get_submodule(site.path).register_forward_hook(hook(site.path)).remove)
        yield read, probes
