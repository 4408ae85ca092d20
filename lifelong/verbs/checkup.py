"""The check-up behind `doctor`: every promise on disk looked at again, from the log to the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from editlog import inbox
from editlog.errors import LifelongError, UsageError
from editlog.events import moment
from editlog.replica import Replica
from editlog.store import utc_now
from lifelong.anchors.locality import Kept
from lifelong.evaluation.probes import collect
from lifelong.experts.pack import read_pack
from lifelong.results import Check
from lifelong.snapshots.publishing import is_behind, served_position, serving_state
from lifelong.snapshots.serving import governing_moments
from lifelong.snapshots.snapshot import current_id, read_snapshot
from lifelong.verbs.trust import witness_lag

if TYPE_CHECKING:
    from lifelong.models.edited import EditedModel
    from lifelong.workspace import Workspace


class _Wrong(LifelongError):
    """A check found something; its message is the detail."""


def checkup(workspace: Workspace) -> list[Check]:
    """Run every check, each on its own: one that fails does not hide the next."""
    checks: list[tuple[str, Callable[[Workspace], str]]] = [
        ("log", _log),
        ("replica", _replica),
        ("inbox", _inbox),
        ("witness", _witness),
        ("snapshot", _snapshot),
        ("packs", _packs),
        ("base", _base),
        ("gate", _gate),
        ("locality", _locality),
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


def _replica(workspace: Workspace) -> str:
    try:
        replica = Replica.open(workspace.layout.replica, verify=True)
    except UsageError:
        return "there is none yet; the next command that writes to the log makes one"
    behind = workspace.log.head().seq - replica.manifest.seq
    if behind:
        raise _Wrong(f"{behind} events behind; the next command that writes to the log brings it up")
    return f"every segment is what was written, at event {replica.manifest.seq}"


def _inbox(workspace: Workspace) -> str:
    directory = workspace.layout.log
    found = inbox.waiting(directory)
    for path in inbox.files(directory):
        with contextlib.suppress(FileNotFoundError):  # drained meanwhile
            inbox.read(path)
    if found.oldest is None:
        return "nothing was spooled that is not in the log"
    return f"{found.count} spooled, the oldest at {moment(found.oldest)}; the next `ingest` or `run` takes them in"


def _witness(workspace: Workspace) -> str:
    if workspace.witness is None:
        return "none is configured: a log put back together with its HEAD would not show (head_witness)"
    lag, problem = witness_lag(workspace.log)
    if lag:
        raise _Wrong(f"{lag} events behind ({problem or 'it was never told'}); the next command that writes tells it")
    return "it was told of the last event"


def _snapshot(workspace: Workspace) -> str:
    snapshots = workspace.layout.snapshots
    if is_behind(workspace.layout, served_position(workspace.log)):
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
    if not model.router.scoped:
        return "the experts act on every prompt: nothing is routed"
    moments = governing_moments(model.facts.values(), utc_now())
    served = [model.facts[seq] for seq in moments]
    routes = model.route_each([fact.fact.prompt for fact in served], list(moments.values()))
    lost = [fact.ref for fact, route in zip(served, routes, strict=True) if route.fact != fact.seq]
    if lost:
        raise _Wrong(f"{len(lost)} of {len(served)} facts are not reached by their own prompt, such as {lost[0]}")
    return f"each of {len(served)} facts is reached by its own prompt, {len(model.gate)} anchors"


def _locality(workspace: Workspace) -> str:
    """The promise of the recipe's locality budget, on prompts made of the log and on its recorded locality probes.

    A promise that is not kept is told, and no damage: what is on disk is what was written.
    """
    model = workspace.edited_model()
    tallies = [*model.gate.kept(), *_on_recorded_probes(workspace, model)]
    detail = "; ".join(
        f"{tally.kind}: {tally.false_hits} false hits in {tally.probes} probes, {tally.promised:.1%} promised"
        for tally in tallies
    )
    if any(tally.broken for tally in tallies):
        return (
            f"the promise is NOT kept ({detail}): list what the gate should leave alone as near_misses, or lower the"
            " recipe's locality_budget, then `lifelong rebuild`"
        )
    return f"the promise is kept ({detail})"


def _on_recorded_probes(workspace: Workspace, model: EditedModel) -> list[Kept]:
    """The locality probes that the log's facts came with; those that an edit governs have no say."""
    served = {served.seq: served.fact for served in model.facts.values() if not served.negative}
    probes = workspace.log.probes_of(served)
    found = collect(fact.model_copy(update={"probes": probes[seq]}) for seq, fact in served.items() if seq in probes)
    budget = model.gate.budget
    near = [item.prompt for kind in ("same_subject", "same_relation") for item in found.locality[kind]]
    unrelated = [item.prompt for item in found.locality["unrelated"]]
    return [
        Kept(f"recorded, {kind}", rate, len(prompts), sum(d.fact is not None for d in model.gate.route(prompts)))
        for kind, rate, prompts in (("near", budget.near, near), ("unrelated", budget.unrelated, unrelated))
        if prompts
    ]
