"""Activations that an edit cannot change, computed once.

Below the first edited layer an edit prompt's activations never change. If every site stands in the last
layer, behind its attention, that never changes either, and what follows is position-wise: then only the positions
that predict the answer need be computed again. Both shortcuts run the model's own forward pass (masks, rotary
embeddings, final norm, head and logit scaling stay its own business) with stored tensors put in their place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.models.base import Base, Batch
from lifelong.models.sites import ATTENTION_WORDS, Site, decoder_layers, find_sites

ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Stored:
    """A batch's fixed activations: `hidden` enters the first edited layer, [rows, length, hidden].

    `mixed`, where only the last layer is edited, is what its attention puts out, [rows, length, hidden]; `batch` and
    both tensors are then cut to the positions that predict answers. All lie on `base.device`.
    """

    batch: Batch
    hidden: Tensor
    mixed: Tensor | None

    def rows(self, index: Tensor) -> Stored:
        """The same for some of the rows."""
        batch = Batch(self.batch.input_ids[index], self.batch.attention_mask[index])
        return replace(
            self,
            batch=batch,
            hidden=self.hidden[index],
            mixed=None if self.mixed is None else self.mixed[index],
        )


class _Captured(Exception):
    """Ends a forward pass once what it was run for has been seen."""


class UpperLayers:
    """The part of a model from the first edited layer on."""

    def __init__(self, base: Base, sites: list[Site]) -> None:
        self._base = base
        prefix, layers = decoder_layers(base.model)
        self._first = min(site.layer for site in sites)
        self._path = f"{prefix}.{self._first}"
        self._lower, self._upper = layers[: self._first], layers[self._first]
        self._attention: nn.Module | None = None
        self._outputs = 0
        if self._first == len(layers) - 1 and all(site.role != "attn.out" for site in sites):
            self._attention = _attention(base, self._first)

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs and leaves its logits."""
        return self._base.device

    @torch.no_grad()
    def store(self, batch: Batch, keep: int) -> Stored:
        """Run the base once and keep what no edit changes; `keep` positions at the end predict answers."""
        if self._attention is None:
            return Stored(batch, self._seen(batch)[0], None)
        # Nothing but the end is kept, so that a few rows at a time need no more padding than they have themselves.
        starts = range(0, len(batch.input_ids), ROWS_AT_ONCE)
        parts = [self._seen(_tight(batch, slice(start, start + ROWS_AT_ONCE), keep)) for start in starts]
        hidden, mixed = (torch.cat([part[:, -keep:] for part in both]) for both in zip(*parts, strict=True))
        return Stored(Batch(batch.input_ids[:, -keep:], batch.attention_mask[:, -keep:]), hidden, mixed)

    def _seen(self, batch: Batch) -> list[Tensor]:
        """What enters the first edited layer and, where that is fixed, what its attention puts out."""
        seen: list[Tensor] = []

        def see_hidden(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append((args[0] if args else kwargs["hidden_states"]).to(self.device))
            if self._attention is None:
                raise _Captured

        def see_mixed(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            self._outputs = len(output) if isinstance(output, tuple) else 0
            seen.append((output[0] if self._outputs else output).to(self.device))
            raise _Captured

        with contextlib.ExitStack() as stack:
            stack.callback(self._upper.register_forward_pre_hook(see_hidden, with_kwargs=True).remove)
            if self._attention is not None:
                stack.callback(self._attention.register_forward_hook(see_mixed).remove)
            with contextlib.suppress(_Captured):
                self._base.forward(batch, keep=1)
        return seen

    def forward(self, stored: Stored, keep: int) -> Tensor:
        """Logits [rows, keep, vocabulary] from the stored activations on; differentiable in what hooks add."""
        with self._put_back(stored):
            return self._base.forward(stored.batch, keep=keep)

    def forward_at(self, stored: Stored, counted: Tensor) -> Tensor:
        """Logits [positions, vocabulary] of the positions that `counted` (bool [rows, keep]) marks, row by row.

        The head is most of a small model, so no other position goes through it.
        """

        def pick(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0][counted.to(args[0].device)], *args[1:])

        head: nn.Module = self._base.model.get_output_embeddings()
        picking = head.register_forward_pre_hook(pick)
        try:
            return self.forward(stored, counted.shape[1])
        finally:
            picking.remove()

    @contextlib.contextmanager
    def _put_back(self, stored: Stored) -> Iterator[None]:
        here = self._base.device_of(self._path)
        hidden, mixed = stored.hidden.to(here), None if stored.mixed is None else stored.mixed.to(here)

        def put_hidden(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        def fixed(*_: Any, **__: Any) -> Any:
            return (mixed, *[None] * (self._outputs - 1)) if self._outputs else mixed

        with contextlib.ExitStack() as stack:
            for layer in self._lower:
                stack.enter_context(_standing_in(layer, _identity))
            stack.callback(self._upper.register_forward_pre_hook(put_hidden, with_kwargs=True).remove)
            if self._attention is not None:
                stack.enter_context(_standing_in(self._attention, fixed))
            yield


def _tight(batch: Batch, rows: slice, keep: int) -> Batch:
    """Some rows without the padding that all of them share, `keep` positions at least."""
    width = max(keep, int(batch.attention_mask[rows].sum(1).max()))
    return Batch(batch.input_ids[rows, -width:], batch.attention_mask[rows, -width:])


def _identity(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden_states


@contextlib.contextmanager
def _standing_in(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let `forward` stand in for a module's own; its parameters, hooks and place in the model stay."""
    own = module.__dict__.get("forward")  # accelerate puts a forward of its own there
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _attention(base: Base, layer: int) -> nn.Module | None:
    """The module of a layer's attention, found by what it projects out with; None where there is not just one."""
    try:
        sites = find_sites(base.model, [layer], ["attn.out"])
    except Exception:  # noqa: BLE001 - a layer without such a module is trained the longer way
        return None
    parts = sites[0].path.split(".")
    inside = [place for place, part in enumerate(parts) if any(word in part.lower() for word in ATTENTION_WORDS)]
    return base.model.get_submodule(".".join(parts[: inside[0] + 1])) if len(sites) == 1 else None
