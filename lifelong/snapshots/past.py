"""Looking back: the snapshot that was served at a position of the log, where it is still kept.

What was served is in the snapshot whole: facts, experts by hash, anchors, encoder, thresholds. It is never made up
again for an answer about the past: where retention has let it go, that is said instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from editlog.errors import UsageError
from editlog.events import Event, moment
from editlog.position import AsOf
from editlog.reader import Reader
from lifelong.layout import Layout
from lifelong.snapshots.publishing import SERVING_KINDS
from lifelong.snapshots.snapshot import Manifest, current_id, kept_manifests


@dataclass(frozen=True)
class Served:
    """Which snapshot answers, as of which event (None: now), and the clock it answers by (None: now)."""

    snapshot: str
    as_of: int | None
    at: datetime | None


def served_at(layout: Layout, log: Reader, as_of: AsOf) -> Served:
    """The snapshot that was served at `as_of`; raises UsageError where none was yet, or where it is not kept."""
    position = log.position(as_of)
    shown = _last_shown(log, position.seq)
    found = kept_at(layout, _position(shown))
    if found is None:
        raise UsageError(_not_kept(layout, log, shown))
    return Served(found, position.seq, position.at)


def kept_at(layout: Layout, position: dict[str, Any]) -> str | None:
    """The id of the snapshot at a position {seq, hash} of the log, where one is kept."""
    found = [one for one in kept_manifests(layout.snapshots) if one.log == position]
    return _oldest(layout, found).id if found else None


def _position(shown: Event) -> dict[str, Any]:
    """The position of the snapshot that an event made the served one: its own, or the one it went back to."""
    if shown.kind == "snapshot.rolled_back":
        return {"seq": shown.body["to"], "hash": shown.body["hash"]}
    return {"seq": shown.seq, "hash": shown.hash}


def _last_shown(log: Reader, seq: int) -> Event:
    """The last event up to `seq` that shows in what is served; of a transaction that goes on after it, none."""
    serving = log.events(kinds=SERVING_KINDS)
    before = [event for event in serving if event.seq <= seq]
    following = serving[len(before) : len(before) + 1]
    if following and before and following[0].at == before[-1].at:
        whole = [event for event in before if event.at != following[0].at]
        before = whole or before
    if not before:
        raise UsageError(f"at event {seq} nothing was published yet")
    return before[-1]


def _oldest(layout: Layout, found: list[Manifest]) -> Manifest:
    """Of several at one position (a rebuild after a change of recipe) the one served now, else the first made."""
    current = current_id(layout.snapshots)
    return min(found, key=lambda one: (one.id != current, (layout.snapshots / one.id).stat().st_mtime_ns))


def _not_kept(layout: Layout, log: Reader, shown: Event) -> str:
    gone = [
        event
        for event in log.events(kinds=["retention.applied"])
        if any(one["seq"] == shown.seq for one in event.body["snapshots"])
    ]
    why = f"gc removed it on {moment(gone[-1].at)[:10]}" if gone else f"it is not in {_short(layout.snapshots)}"
    seqs = sorted(one.log["seq"] for one in kept_manifests(layout.snapshots))
    near = [seq for seq in seqs if seq < shown.seq][-1:] + [seq for seq in seqs if seq > shown.seq][:1]
    nearest = f"; the nearest that are kept stand at the events {' and '.join(map(str, near))}" if near else ""
    return f"the snapshot of event {shown.seq} ({moment(shown.at)}) is not kept any more: {why}{nearest}"


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
