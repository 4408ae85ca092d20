"""Taking back: retract, revert, and making the caches again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from editlog import replica
from editlog.errors import IntegrityError
from editlog.events import Entry
from editlog.history import LoggedFact
from editlog.store import EditLog, utc_now
from lifelong.experts.pack import read_pack
from lifelong.layout import Layout
from lifelong.results import Rebuild, Undo
from lifelong.snapshots.publishing import build_gate, catch_up, publish, serving_state, write_state
from lifelong.snapshots.snapshot import current_id
from policies.recipe import Recipe

Forget = Callable[[Sequence[LoggedFact]], Sequence[Entry]]
"""What else to append where these facts are withdrawn (`accumulating.forget`)."""


def retract(
    layout: Layout,
    log: EditLog,
    recipe: Recipe,
    refs: Sequence[str],
    *,
    actor: str,
    reason: str | None,
    dry_run: bool,
    forget: Forget | None = None,
) -> Undo:
    """Withdraw the named facts and publish what then answers.

    `forget` (None: facts stand alone) takes them out of weights that hold others, too, or raises CannotForget.
    """

    def withdraw(dry_run: bool) -> list[LoggedFact]:
        return log.retract(refs, actor=actor, reason=reason, dry_run=dry_run)

    return _undo(layout, log, recipe, withdraw, None if dry_run else partial(_tell, log, forget, actor, reason))


def revert(
    layout: Layout,
    log: EditLog,
    recipe: Recipe,
    *,
    job: str | None,
    source: str | None,
    actor: str,
    reason: str | None,
    dry_run: bool,
    forget: Forget | None = None,
) -> Undo:
    """Withdraw every fact of a job or a source and publish what then answers; `forget` as for `retract`."""

    def withdraw(dry_run: bool) -> list[LoggedFact]:
        return log.revert(job=job, source=source, actor=actor, reason=reason, dry_run=dry_run)

    return _undo(layout, log, recipe, withdraw, None if dry_run else partial(_tell, log, forget, actor, reason))


def _tell(log: EditLog, forget: Forget | None, actor: str, reason: str | None, gone: Sequence[LoggedFact]) -> None:
    """Append what forgetting these facts changes, before they are withdrawn: until then they wait for a job again."""
    entries = forget(gone) if forget else []
    if entries:
        log.append(entries, actor=actor, reason=reason)


def _undo(
    layout: Layout,
    log: EditLog,
    recipe: Recipe,
    withdraw: Callable[[bool], list[LoggedFact]],
    tell: Callable[[Sequence[LoggedFact]], None] | None,
) -> Undo:
    """Find out what is withdrawn, and, unless `tell` is None (a dry run), forget it and withdraw it."""
    catch_up(layout, log, recipe)
    retracted = withdraw(True)
    dry_run = tell is None
    if tell:
        tell(retracted)
        withdraw(False)
    gone = {fact.seq for fact in retracted}
    answered = {fact.fact.key for fact in retracted if fact.status == "applied"}
    live = [fact for fact in log.facts() if fact.seq not in gone and not fact.retracted_by and fact.expert]
    answering = {fact.fact.key: fact for fact in live if fact.fact.key in answered}
    return Undo(
        retracted=[fact.ref for fact in retracted],
        answers_again=[fact.ref for fact in answering.values()],
        back_to_base=[f.ref for f in retracted if f.status == "applied" and f.fact.key not in answering],
        snapshot=None if dry_run else catch_up(layout, log, recipe),
        dry_run=dry_run,
    )


def rebuild(layout: Layout, log: EditLog, recipe: Recipe, *, dry_run: bool) -> Rebuild:
    """Make snapshot and replica again from the log and the packs; every pack is read and checked on the way."""
    state = serving_state(log)
    for pack in state.packs:
        read_pack(layout.experts, pack)
    try:
        was = current_id(layout.snapshots)
    except IntegrityError:
        was = None
    gate = build_gate(state.facts, recipe, state.calibrated)
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            made = write_state(Path(scratch), state, gate)
    else:
        made = publish(layout, state, gate)
        replica.rebuild(log, layout.replica, utc_now())
    return Rebuild(snapshot=made, was=was, identical=made == was, dry_run=dry_run)
