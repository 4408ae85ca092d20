"""Rolling back: `@champion` moves to a snapshot that was served before, by one event and one rename.

Nothing is trained, embedded or written anew, so it takes as long as opening the log. What that snapshot shows is served
until the next event that changes what is served. The facts that were applied behind it are held from here on: the next
job goes on from the log without them, until someone approves (they wait for a job again) or retracts them.
"""

from __future__ import annotations

from editlog.errors import IntegrityError, UsageError
from editlog.events import Entry
from editlog.history import LoggedFact
from editlog.reader import Reader
from editlog.store import EditLog
from lifelong.anchors import stored
from lifelong.layout import Layout
from lifelong.results import RolledBack
from lifelong.snapshots.past import served_at
from lifelong.snapshots.snapshot import Snapshot, published_id, read_manifest, read_snapshot, serve

_WHY = "rolled-back: it was applied behind the snapshot that was rolled back to"


def rollback(
    layout: Layout, log: EditLog, *, to: str | None, actor: str, reason: str | None, dry_run: bool
) -> RolledBack:
    """Serve what was served when job `to` had published (None: before what is served now); see `Workspace.rollback`."""
    was = published_id(layout.snapshots)
    position = read_manifest(layout.snapshots, was).log
    found = served_at(layout, log, to).snapshot if to else _before(layout, log, position["seq"])
    target = read_snapshot(layout.snapshots, found)
    shown = target.manifest.log
    if shown["seq"] >= position["seq"]:
        raise UsageError(f"{to} is not behind what is served now (event {position['seq']}): name an earlier job")
    _require_readable(target)
    since = log.events(kinds=["facts.applied", "fact.retracted"], after=shown["seq"])
    held = _carried(log, {item["fact"] for event in since for item in event.body.get("facts", ())})
    gone = {event.fact for event in since if event.kind == "fact.retracted"}
    if not dry_run:
        facts = [{"fact": fact.seq, "reason": _WHY} for fact in held]
        entries = [Entry("facts.held", {"facts": facts})] if facts else []
        moved = {"snapshot": found, "to": shown["seq"], "hash": shown["hash"], "was": position["seq"]}
        log.append([*entries, Entry("snapshot.rolled_back", moved)], actor=actor, reason=reason)
        serve(layout.snapshots, found)
    return RolledBack(
        snapshot=found,
        was=was,
        as_of=shown["seq"],
        held=[fact.ref for fact in held],
        retracted_since=[served.ref for served in target.facts if served.expert and served.seq in gone],
        dry_run=dry_run,
    )


def _require_readable(target: Snapshot) -> None:
    """Refuse what could not answer: a snapshot that is whole, but not of this version's anchors or encoder."""
    try:
        stored.read(target.directory)
    except (IntegrityError, UsageError) as error:
        raise UsageError(
            f"the snapshot of event {target.manifest.log['seq']} was made by another version of lifelong, or by"
            " another encoder, and cannot be served as it is: `lifelong revert JOB` takes back what a job did"
        ) from error


def way_back(layout: Layout, log: Reader) -> str | None:
    """The snapshot that a rollback serves where no job is named; None where nothing was served before."""
    try:
        return _before(layout, log, read_manifest(layout.snapshots, published_id(layout.snapshots)).log["seq"])
    except UsageError:
        return None


def _before(layout: Layout, log: Reader, seq: int) -> str:
    return served_at(layout, log, seq - 1).snapshot


def _carried(log: EditLog, seqs: set[int]) -> list[LoggedFact]:
    """Those of the facts that an expert carries; a log of any length is not read for them."""
    return [fact for fact in log.facts_among(seqs) if fact.expert and fact.retracted_by is None]
