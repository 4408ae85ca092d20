"""Activations that an edit cannot change, computed once.

Below the first edited layer an edit prompt's activations never change. If every site stands in the last
layer even its attention never changes, and what follows is position-wise: then only the positions that
predict the answer need be computed again. Both shortcuts run the model's own forward pass (masks, rotary
embeddings, final norm, head and logit scaling stay its own business) with stored tensors put in their place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.models.base import Base, Batch
from lifelong.models.sites import Site, decoder_layers, find_sites


@dataclass(frozen=True, eq=False)
class Stored:
    """A batch's fixed activations: `hidden` enters the first edited layer, [rows, length, hidden].

    `mixed`, where only the last layer is edited, is what its attention projects out, [rows, length, width];
    `batch` and both tensors are then cut to the positions that predict answers. All lie on `base.device`.
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
        self._mixer: nn.Module | None = None
        if self._first == len(layers) - 1:
            projections = _attention_projections(base, self._first)
            self._mixer = projections[0] if len(projections) == 1 else None

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs and leaves its logits."""
        return self._base.device

    @torch.no_grad()
    def store(self, batch: Batch, keep: int) -> Stored:
        """Run the base once and keep what no edit changes; `keep` positions at the end predict answers."""
        seen: dict[str, Tensor] = {}

        def see_hidden(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen["hidden"] = (args[0] if args else kwargs["hidden_states"]).to(self.device)
            if self._mixer is None:
                raise _Captured

        def see_mixed(_: nn.Module, args: tuple[Any, ...]) -> None:
            seen["mixed"] = args[0].to(self.device)
            raise _Captured

        with contextlib.ExitStack() as stack:
            stack.callback(self._upper.register_forward_pre_hook(see_hidden, with_kwargs=True).remove)
            if self._mixer is not None:
                stack.callback(self._mixer.register_forward_pre_hook(see_mixed).remove)
            with contextlib.suppress(_Captured):
                self._base.forward(batch, keep=1)
        if self._mixer is None:
            return Stored(batch, seen["hidden"], None)
        tail = Batch(batch.input_ids[:, -keep:], batch.attention_mask[:, -keep:])
        return Stored(tail, seen["hidden"][:, -keep:].clone(), seen["mixed"][:, -keep:].clone())

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

        def put_mixed(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (mixed, *args[1:])

        with contextlib.ExitStack() as stack:
            for layer in self._lower:
                stack.enter_context(_passing_through(layer))
            stack.callback(self._upper.register_forward_pre_hook(put_hidden, with_kwargs=True).remove)
            if mixed is not None and self._mixer is not None:
                stack.callback(self._mixer.register_forward_pre_hook(put_mixed).remove)
            yield


@contextlib.contextmanager
def _passing_through(layer: nn.Module) -> Iterator[None]:
    """Make a decoder layer hand its input on; its parameters, hooks and place in the model stay."""

    def identity(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states

    own = layer.__dict__.get("forward")  # accelerate puts a forward of its own there
    layer.forward = identity
    try:
        yield
    finally:
        if own is None:
            del layer.forward
        else:
            layer.forward = own


def _attention_projections(base: Base, layer: int) -> list[nn.Module]:
    try:
        sites = find_sites(base.model, [layer], ["attn.out"])
    except Exception:  # noqa: BLE001 - a layer without such a module is trained the longer way
        return []
    return [base.model.get_submodule(site.path) for site in sites]
