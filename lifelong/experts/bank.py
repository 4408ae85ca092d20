"""The bank: the experts in memory, stacked by site, so one forward pass serves rows routed to different experts.

PEFT adds its thousandth adapter in more than half a second and loops over adapters in a mixed batch; here a
batch gathers each row's delta by slot and applies it at once, whatever the number of experts. Experts of
different kinds have a stack each, and their operators follow one another at a site.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from editlog.errors import IntegrityError
from lifelong.experts.kinds import NOTE_SITE, Delta, LowRank, Note
from lifelong.experts.operators import OPERATORS
from lifelong.experts.operators.rows import RowSlots, TokenGate, by_row
from lifelong.experts.pack import Pack
from lifelong.models.base import Base
from lifelong.models.sites import linear_widths


class Route(NamedTuple):
    """Where one row goes, decided once on its prompt and kept for the whole decode.

    `fact` is the fact's number in the log (None: a miss, or experts that act on every prompt), `slots` and `weights`
    the experts that act, `note` what is read before the prompt; `by_site` are the weights at sites, by path, where they
    are others.
    """

    fact: int | None
    slots: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    note: str = ""
    by_site: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def weights_at(self, site: str) -> tuple[float, ...]:
        """The weight of each slot at a site."""
        return dict(self.by_site).get(site, self.weights)


MISS = Route(None)


class Bank:
    """Stacked experts attached to a base model by forward hooks, silent unless a batch is being served."""

    def __init__(self, base: Base, packs: Sequence[Pack]) -> None:
        """Stack the packs' experts; raises IntegrityError for a pack of another base or unknown sites."""
        for pack in packs:
            if pack.base != base.fingerprint:
                raise IntegrityError(
                    f"the pack {pack.name} was trained on another base model ({pack.base[:23]}...) than the one loaded"
                )
        hashes = [expert_hash for pack in packs for expert_hash in pack.hashes]
        self.slot_of = {expert_hash: slot for slot, expert_hash in enumerate(hashes)}
        self._base = base
        self._packs = tuple(packs)
        self._places = _places(packs)
        self._stacks: dict[str, dict[str, Delta]] = {}
        for kind in OPERATORS:
            for site, stack in self._stack([pack for pack in packs if pack.kind == kind]).items():
                self._stacks.setdefault(site, {})[kind] = stack
        self._serving = threading.local()

    def __len__(self) -> int:
        return len(self.slot_of)

    @property
    def sites(self) -> tuple[str, ...]:
        """The paths of the modules that its experts are attached to."""
        return tuple(self._stacks)

    @property
    def always(self) -> tuple[int, ...]:
        """The slots of the experts that act without being asked: their anchors are `ALWAYS`."""
        packs = [pack for pack in self._packs if pack.anchors is not None and not len(pack.anchors)]
        return tuple(self.slot_of[one] for pack in packs for one in pack.hashes)

    def expert_at(self, slot: int) -> tuple[Pack, int]:
        """The pack that holds the expert of a slot of the bank, and its slot in there."""
        for pack in self._packs:
            if slot < len(pack):
                return pack, slot
            slot -= len(pack)
        raise IndexError(slot)

    def acting(self, route: Route) -> list[tuple[str, float]]:
        """The hash and the weight of each expert that acts on a row of this route."""
        names = []
        for slot, weight in zip(route.slots, route.weights, strict=True):
            pack, own = self.expert_at(slot)
            names.append((pack.hashes[own], weight))
        return names

    def note(self, slot: int) -> str:
        """What the expert of a slot has read before the prompt; empty where it is no note."""
        pack, own = self.expert_at(slot)
        notes = pack.stacks.get(NOTE_SITE)
        return Note(notes.utf8[own]).text if isinstance(notes, Note) else ""

    def _stack(self, packs: Sequence[Pack]) -> dict[str, Delta]:
        """The stacks of all packs of one kind by site."""
        stacks = {}
        for site in sorted({site for pack in packs for site in pack.stacks}):
            parts = [self._part(pack, site, packs) for pack in packs]
            where = self._device_of(site)
            stacks[site] = OPERATORS[packs[0].kind].stack(parts, dtype=self._base.model.dtype, device=where)
            self._check_widths(site, stacks[site])
        return stacks

    @staticmethod
    def _part(pack: Pack, site: str, packs: Sequence[Pack]) -> Delta:
        """The pack's stack at a site; where its low-rank experts leave the site alone, one that changes nothing.

        Raises IntegrityError for experts of another kind that do not all have the same sites.
        """
        if site in pack.stacks:
            return pack.stacks[site]
        model = next(other.stacks[site] for other in packs if site in other.stacks)
        if not isinstance(model, LowRank):
            raise IntegrityError(f"the pack {pack.name} has no delta at {site}, where others of its kind have one")
        return model.idle(len(pack))

    def _device_of(self, site: str) -> torch.device:
        """Where an expert stands: where its site computes; raises IntegrityError for a site that the base lacks."""
        try:
            return self._base.device_of(site)
        except AttributeError:
            raise IntegrityError(f"the experts' site {site} does not fit the base model") from None

    def _check_widths(self, site: str, stack: Delta) -> None:
        widths = linear_widths(self._base.model.get_submodule(site))
        reads, writes = stack.widths()
        if widths is None or writes != widths[1] or reads not in (None, widths[0]):
            raise IntegrityError(f"the experts' site {site} does not fit the base model")

    @contextlib.contextmanager
    def serving(
        self, routes: Sequence[Route], *, after: Sequence[int] | None = None, gate: TokenGate | None = None
    ) -> Iterator[None]:
        """Within this block the model's forward passes serve rows routed so, in this thread only.

        `after[i]` is how many tokens stand behind row i's prompt in its first pass (None: none do); `gate` weighs
        the tokens of routed rows.
        """
        routed = self._row_slots(routes)
        if not routed:
            yield
            return
        self._serving.pass_ = _Pass(routed, torch.tensor(after or [0] * len(routes), device=self._base.device))
        self._serving.gate = gate
        sites = {site for site, stacks in self._stacks.items() if stacks.keys() & routed.keys()}
        hooks = [self._base.model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        hooks += [self._attach(site) for site in sorted(sites)]
        try:
            yield
        finally:
            self._serving.pass_ = None
            for hook in hooks:
                hook.remove()

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        current: _Pass | None = getattr(self._serving, "pass_", None)
        if current is not None:
            current.begin(args, kwargs)

    def _attach(self, site: str) -> RemovableHandle:
        def edit(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            current: _Pass | None = getattr(self._serving, "pass_", None)
            if current is None:
                return output
            x, y = (by_row(tensor.to(output.device), current.rows) for tensor in (inputs[0], output))
            for kind, stack in self._stacks[site].items():
                if kind in current.routed:
                    routed, gate = current.routed[kind].at(site).to(output.device), self._serving.gate
                    y = OPERATORS[kind].apply(x, y, stack=stack, routed=routed, site=site, gate=gate)
            return y.view_as(output)

        module: nn.Module = self._base.model.get_submodule(site)
        return module.register_forward_hook(edit)

    def _row_slots(self, routes: Sequence[Route]) -> dict[str, RowSlots]:
        """The routed rows of each kind that acts in the model, by slots of that kind's stack."""
        sites = sorted({site for route in routes for site, _ in route.by_site})
        by_kind: dict[str, list[tuple[int | float, ...]]] = {}
        for row, route in enumerate(routes):
            weights = [route.weights, *map(route.weights_at, sites)]
            for slot, *own_weights in zip(route.slots, *weights, strict=True):
                kind, own = self._places[slot]
                by_kind.setdefault(kind, []).append((row, own, *own_weights))
        device, dtype = self._base.device, self._base.model.dtype
        found = {}
        for kind, entries in by_kind.items():
            if kind in OPERATORS:
                rows, slots, *found_weights = (
                    torch.tensor(column, device=device) for column in zip(*entries, strict=True)
                )
                everywhere, *at_sites = (one.to(dtype) for one in found_weights)
                found[kind] = RowSlots(rows, slots, everywhere, by_site=dict(zip(sites, at_sites, strict=True)))
        return found


class _Pass:
    """The forward pass under way: how many rows it has, and where their prompts end in it."""

    def __init__(self, routed: Mapping[str, RowSlots], after: Tensor) -> None:
        self._once, self._after = routed, after
        self._length: int | None = None
        self.rows = len(after)
        self.routed = dict(routed)

    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Hear of a pass before it runs; beams and returned sequences repeat each row.

        Rows are padded on the left, so a longer pass without a cache has the prompts where the first one had them.
        """
        read = args[0] if args else kwargs.get("input_ids")
        read = kwargs["inputs_embeds"] if read is None else read
        past = kwargs.get("past_key_values")
        continues = past is not None and past.get_seq_length() > 0
        self.rows, length = read.shape[0], read.shape[1]
        if not continues:
            self._length = length if self._length is None else min(length, self._length)
        times = self.rows // len(self._after)
        ends = None if continues else self._length
        self.routed = {kind: one.before(ends, self._after).expanded(times) for kind, one in self._once.items()}


def _places(packs: Sequence[Pack]) -> list[tuple[str, int]]:
    """For each slot of the bank the kind of its expert and its slot in the stack of that kind."""
    count: dict[str, int] = {}
    places = []
    for pack in packs:
        for _ in range(len(pack)):
            places.append((pack.kind, count.get(pack.kind, 0)))
            count[pack.kind] = count.get(pack.kind, 0) + 1
    return places
