"""The check-up behind `doctor`: every promise on disk looked at again, from the log to the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from editlog.errors import LifelongError
from editlog.store import utc_now
from lifelong.experts.pack import read_pack
from lifelong.publishing import is_behind, serving_state
from lifelong.results import Check
from lifelong.serving import governing_moments
from lifelong.snapshot import current_id, read_snapshot
from lifelong.trust import witness_lag

if TYPE_CHECKING:
    from lifelong.workspace import Workspace


class _Wrong(LifelongError):
    """A check found something; its message is the detail."""


def checkup(workspace: Workspace) -> list[Check]:
    """Run every check, each on its own: one that fails does not hide the next."""
    checks: list[tuple[str, Callable[[Workspace], str]]] = [
        ("log", _log),
        ("witness", _witness),
        ("snapshot", _snapshot),
        ("packs", _packs),
        ("base", _base),
        ("gate", _gate),
    ]
    return [_run(name, check, workspace) for name, check in checks]


def _run(name: str, check: Callable[[Workspace], str], workspace: Workspace) -> Check:
    try:
        return Check(name, True, check(workspace))
    except LifelongError as error:
        return Check(name, False, str(error))


def _log(workspace: Workspace) -> str:
    findings = workspace.log.verify()
    if findings:
        raise _Wrong(f"{len(findings)} findings, the first: {findings[0]}")
    return f"{workspace.log.head().seq} events, every hash and commitment re-derived, HEAD agrees"


def _witness(workspace: Workspace) -> str:
    if workspace.witness is None:
        return "none is configured: a log put back together with its HEAD would not show (head_witness)"
    lag, problem = witness_lag(workspace.log)
    if lag:
        raise _Wrong(f"{lag} events behind ({problem or 'it was never told'}); the next command that writes tells it")
    return "it was told of the last event"


def _snapshot(workspace: Workspace) -> str:
    snapshots = workspace.layout.snapshots
    state = serving_state(workspace.log)
    if is_behind(workspace.layout, state):
        raise _Wrong("what is served is behind the log; `lifelong rebuild` brings it up")
    snapshot = read_snapshot(snapshots, current_id(snapshots) or "")
    return f"{snapshot.manifest.id} serves {len(snapshot.facts)} facts at event {snapshot.manifest.log['seq']}"


def _packs(workspace: Workspace) -> str:
    state = serving_state(workspace.log)
    experts = 0
    for name in state.packs:
        pack = read_pack(workspace.layout.experts, name)
        for slot, recorded in enumerate(pack.hashes):
            if pack.expert(slot).hash != recorded:
                raise _Wrong(f"slot {slot} of the pack {name} does not hold the expert its table names")
        experts += len(pack)
    return f"{experts} experts in {len(state.packs)} packs, every hash re-derived"


def _base(workspace: Workspace) -> str:
    recorded = workspace.log.events(kinds=["base.attached"])[-1].body["fingerprint"]
    workspace.check_base(workspace.load_base(), recorded)
    return f"{workspace.config.model} has the recorded fingerprint {recorded[:23]}..."


def _gate(workspace: Workspace) -> str:
    model = workspace.edited_model()
    moments = governing_moments(model.facts.values(), utc_now())
    served = [model.facts[seq] for seq in moments]
    routes = model.route_each([fact.fact.prompt for fact in served], list(moments.values()))
    lost = [fact.ref for fact, route in zip(served, routes, strict=True) if route.fact != fact.seq]
    if lost:
        raise _Wrong(f"{len(lost)} of {len(served)} facts are not reached by their own prompt, such as {lost[0]}")
    return f"each of {len(served)} facts is reached by its own prompt, {len(model.gate)} anchors"
