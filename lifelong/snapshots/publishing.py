"""Publishing: from the log's state to the snapshot that readers serve.

Everything here is a function of the log and the packs, so `rebuild` is publishing once more, and a publish
that was cut short after the log's transaction is finished by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editlog.errors import IntegrityError
from editlog.events import Event
from editlog.reader import Reader
from editlog.store import EditLog
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.gate import Gate, LocalityBudget
from lifelong.snapshots.calibrating import calibrated_gate, last_calibration
from lifelong.snapshots.serving import Served, served_facts
from lifelong.snapshots.snapshot import current_id, read_manifest, scoped, serve, write_snapshot

if TYPE_CHECKING:
    from lifelong.layout import Layout
    from policies.recalibration import Calibrated
    from policies.recipe import Recipe

# The kinds of event that change what is served; the last of them is the position a snapshot stands at.
SERVING_KINDS = (
    "base.attached",
    "facts.applied",
    "fact.retracted",
    "fact.redacted",
    "experts.retired",
    "state.kept",
    "expert.shared",
    "gate.calibrated",
    "pack.rewritten",
    "snapshot.rolled_back",
)


@dataclass(frozen=True)
class Shared:
    """An expert that no fact is applied to, since all share it; `recipe` is the digest of the one it was made for."""

    expert: str
    pack: str
    recipe: str


@dataclass(frozen=True)
class ServingState:
    """What the log says is to be served: facts, the packs of their experts, the editor's state, the log's position.

    The pack of the `shared` expert, where there is one, is among the packs. `calibrated` is the last calibration that
    the log knows of.
    """

    facts: tuple[Served, ...]
    packs: tuple[str, ...]
    position: dict[str, Any]
    base: str
    state: str | None = None
    shared: Shared | None = None
    calibrated: Calibrated | None = None


def served_position(log: Reader) -> dict[str, Any]:
    """The position of the log that a snapshot stands at which shows all of it: that of `serving_state`."""
    last = _last_shown(log)
    return {"seq": last.seq, "hash": last.hash}


def state_named(log: Reader) -> str | None:
    """The name of the editor's state that is served; None where the editor has none."""
    found = log.events(kinds=["state.kept"], as_of=_last_shown(log).seq, newest_first=True, limit=1)
    return found[0].body["state"] if found else None


def _last_shown(log: Reader) -> Event:
    """The last event that changes what is served; of a rollback, the one it goes back to."""
    (last,) = log.events(kinds=SERVING_KINDS, newest_first=True, limit=1)
    while last.kind == "snapshot.rolled_back":
        (last,) = log.events(kinds=SERVING_KINDS, as_of=last.body["to"], newest_first=True, limit=1)
    return last


def serving_state(log: Reader, *, as_of: int | None = None) -> ServingState:
    """Decide what is served, now or after event `as_of`; raises IntegrityError if an expert's pack is not recorded.

    Facts are read as of the last event that shows, so that both readings are of one position.
    """
    events = log.events(kinds=SERVING_KINDS, as_of=as_of)
    last = events[-1]
    if last.kind == "snapshot.rolled_back":
        return serving_state(log, as_of=last.body["to"])
    facts = tuple(served_facts(log.facts(as_of=last.seq)))
    pack_of = _pack_of(events) if as_of is None else packs_by_expert(log)
    experts = {served.expert for served in facts if served.expert}
    if missing := experts - pack_of.keys():
        raise IntegrityError(f"the log names no pack for the expert {sorted(missing)[0]}; run `lifelong log verify`")
    base = next(event.body["fingerprint"] for event in reversed(events) if event.kind == "base.attached")
    shared = _shared(events)
    return ServingState(
        facts=facts,
        packs=tuple(sorted({*(pack_of[expert] for expert in experts), *([shared.pack] if shared else [])})),
        position={"seq": last.seq, "hash": last.hash},
        base=base,
        state=next((event.body["state"] for event in reversed(events) if event.kind == "state.kept"), None),
        shared=shared,
        calibrated=last_calibration(events),
    )


def _shared(events: Sequence[Event]) -> Shared | None:
    """The latest shared expert; one of a base before the last is none."""
    for event in reversed(events):
        if event.kind == "base.attached":
            return None
        if event.kind == "expert.shared":
            return Shared(event.body["expert"], event.body["pack"], event.body["recipe"])
    return None


def packs_by_expert(log: Reader) -> dict[str, str]:
    """The pack in which each expert lies today, by hash: where its job put it, or where a redaction moved it."""
    return _pack_of(log.events(kinds=["facts.applied", "pack.rewritten"]))


def _pack_of(events: Sequence[Event]) -> dict[str, str]:
    pack_of: dict[str, str] = {}
    for event in events:
        if event.kind == "facts.applied":
            pack_of.update((item["expert"], event.body["pack"]) for item in event.body["facts"])
        elif event.kind == "pack.rewritten":
            moved, into = event.body["pack"], event.body["into"]
            pack_of.update({expert: into for expert, pack in pack_of.items() if pack == moved} if into else {})
    return pack_of


def build_gate(facts: Sequence[Served], recipe: Recipe, last: Calibrated | None = None) -> Gate:
    """The gate over these facts, calibrated to the recipe's locality budget; `last` is the calibration before."""
    budget = LocalityBudget(unrelated=recipe.locality_budget.unrelated, near=recipe.locality_budget.near)
    return calibrated_gate(scoped(facts), encoder_named(recipe.routing.encoder), budget, recipe, last)


def write_state(snapshots: Path, state: ServingState, gate: Gate) -> str:
    """Write the snapshot of a state into `snapshots` without serving it; returns its id."""
    return write_snapshot(
        snapshots,
        facts=state.facts,
        gate=gate,
        log=state.position,
        base=state.base,
        encoder=gate.encoder.fingerprint,
        packs=state.packs,
        state=state.state,
    )


def publish(layout: Layout, state: ServingState, gate: Gate) -> str:
    """Write the snapshot of a state and serve it; returns its id. `gate` must be over the state's facts."""
    snapshot = write_state(layout.snapshots, state, gate)
    serve(layout.snapshots, snapshot)
    return snapshot


def is_behind(layout: Layout, position: dict[str, Any], *, seen: int | None = None) -> bool:
    """Whether the served snapshot shows another position of the log than `position` (or there is none).

    `seen` is the last event that the reader of `position` saw, where others may write meanwhile or it read a replica: a
    snapshot of a later event is not behind then, the reader is.
    """
    snapshot = current_id(layout.snapshots)
    if snapshot is None:
        return True
    served = read_manifest(layout.snapshots, snapshot).log
    return served != position and (seen is None or served["seq"] <= seen)


def catch_up(layout: Layout, log: EditLog, recipe: Recipe) -> str | None:
    """Finish a publish that was cut short: serve what the log says, if the snapshot is behind; its id, or None."""
    if not is_behind(layout, served_position(log)):
        return None
    state = serving_state(log)
    return publish(layout, state, build_gate(state.facts, recipe, state.calibrated))
