"""Routers: from prompts to routes. The gate, always on, and the nearest key; a recipe's editor names one.

A route is decided on the prompt alone, once a request and row. A router sees a scene: the base, the bank, the
gate, the facts that are served and the editor's state, all of one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from editlog.errors import UsageError
from lifelong.anchors.gate import Decision, Gate
from lifelong.editors.state import State
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.models.base import Base
from lifelong.snapshots.serving import Served


@dataclass(frozen=True)
class Scene:
    """What a router decides with; `facts` are the served ones by number, negatives included."""

    base: Base
    bank: Bank
    gate: Gate
    facts: Mapping[int, Served]
    state: State | None = None

    def slot(self, seq: int) -> int | None:
        """The slot of a fact's expert in the bank; None where it has none."""
        expert = self.facts[seq].expert
        return None if expert is None else self.bank.slot_of[expert]

    def route_to(self, seq: int) -> Route:
        """The route to a fact's own expert, with the note that it holds; a miss where it has none."""
        slot = self.slot(seq)
        return MISS if slot is None else Route(seq, (slot,), (1.0,), self.bank.note(slot))


class Routed(NamedTuple):
    """A decision and the route that it means."""

    decision: Decision
    route: Route


class Router(Protocol):
    """Decides each prompt; `scoped` is False where the experts act on every prompt and nothing is decided."""

    scoped: bool

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """One decision and route a prompt, at the moment `at` in the world (None: now)."""
        ...

    def route_to(self, seq: int) -> Route:
        """The route of a fact, whatever would be decided: the oracle."""
        ...


class GateRouter:
    """The calibrated gate: a hit goes to the fact's own expert."""

    scoped = True

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """What the gate says of each prompt."""
        decisions = self._scene.gate.route(prompts, at=at)
        return [Routed(one, MISS if one.fact is None else self.route_to(one.fact)) for one in decisions]

    def route_to(self, seq: int) -> Route:
        """The route to the fact's expert."""
        return self._scene.route_to(seq)


class AlwaysOn:
    """Every expert that is served acts on every prompt, and no fact is said to be hit."""

    scoped = False

    def __init__(self, scene: Scene) -> None:
        slots = {scene.slot(seq) for seq in scene.facts} - {None}
        on = tuple(sorted(slot for slot in slots if slot is not None))
        self._route = Route(None, on, (1.0,) * len(on))

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """The same for each prompt."""
        return [Routed(Decision(None, 0.0, 0.0, None, None), self._route) for _ in prompts]

    def route_to(self, seq: int) -> Route:
        """The same for each fact."""
        return self._route


class NearestKey:
    """The fact whose key is nearest to the prompt's query, if it lies within that key's radius.

    Keys are the anchors of the served experts, float32 [facts, width]. `query` turns prompts into [prompts, width];
    `radii`, given the keys' facts in log order and the keys, says how far each reaches.
    """

    scoped = True

    def __init__(
        self,
        scene: Scene,
        query: Callable[[Sequence[str]], Tensor],
        radii: Callable[[Sequence[Served], Tensor], Tensor],
    ) -> None:
        self._scene = scene
        self._query = query
        self._facts = [served for seq, served in sorted(scene.facts.items()) if served.expert]
        keys = [key_of(scene.bank, served) for served in self._facts]
        self.keys = torch.stack(keys) if keys else torch.zeros(0, 0)
        self._radii = radii(self._facts, self.keys) if keys else torch.zeros(0)

    @torch.no_grad()
    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """The nearest valid key of each prompt decides; of equally near ones that of the latest fact."""
        decisions = self.decided(self._query(prompts), at=at) if prompts else []
        return [Routed(one, MISS if one.fact is None else self.route_to(one.fact)) for one in decisions]

    def decided(self, queries: Tensor, *, at: datetime | None = None) -> list[Decision]:
        """What the nearest valid key says of each query [queries, width]."""
        moment = at or datetime.now(UTC)
        valid = torch.tensor([served.fact.valid_at(moment) for served in self._facts], dtype=torch.bool)
        if not valid.any():
            return [Decision(None, 0.0, 0.0, None, None)] * len(queries)
        found = self._nearest(queries, valid)
        return [self._decision(self._facts[place], distance, float(self._radii[place])) for place, distance in found]

    def _nearest(self, queries: Tensor, valid: Tensor) -> list[tuple[int, float]]:
        """For each query [queries, width] the place of a valid key [keys], and a distance to hold to its radius."""
        distances = torch.cdist(queries, self.keys, compute_mode="donot_use_mm_for_euclid_dist")
        distances[:, ~valid] = torch.inf
        places = len(self._facts) - 1 - distances.flip(1).argmin(1)
        return [(place, float(distances[row, place])) for row, place in enumerate(places.tolist())]

    def _decision(self, served: Served, distance: float, radius: float) -> Decision:
        """Distances as the shares that decisions speak of: 1 at the key itself, one half at a distance of one."""
        fact = served.seq if distance <= radius else None
        return Decision(fact, 1 / (1 + distance), 1 / (1 + radius), served.fact.prompt, served.fact.subject)

    def route_to(self, seq: int) -> Route:
        """The route to the fact's expert."""
        return self._scene.route_to(seq)


def key_of(bank: Bank, served: Served) -> Tensor:
    """The vector of a served fact among its expert's anchors; raises UsageError where another editor made it."""
    assert served.expert is not None
    pack, slot = bank.expert_at(bank.slot_of[served.expert])
    anchors = pack.anchors_of(slot)
    if anchors is None or not len(anchors):
        raise UsageError(
            f"the expert of {served.ref} was made by another editor than the recipe's; put that recipe back, or make a"
            " new workspace for this one"
        )
    return anchors[pack.facts[slot].index(served.fact.digest)]
