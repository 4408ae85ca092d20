"""Collecting what nothing needs: old snapshots, packs and states that only they used, old job directories, leftovers.

The retention policy says which past is promised; everything that serves now, that may serve again when a newer fact is
taken back, or that an unfinished job needs, stays. The log is told before anything goes, so that a question about a
past that is gone has an answer; killed in between, the next gc lets the rest go.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from editlog import durable
from editlog.events import Entry, moment
from editlog.store import EditLog
from lifelong.files import temporary_beside
from lifelong.jobs.rollback import way_back
from lifelong.layout import Layout, pack_path
from lifelong.results import Collected
from lifelong.snapshots.publishing import packs_by_expert, serving_state
from lifelong.snapshots.snapshot import Manifest, kept_manifests, published_id
from policies.retention import Retention, Served, let_go, runs_to_let_go

_LEFTOVER_SECONDS = 3600.0
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")


def gc(
    layout: Layout, log: EditLog, retention: Retention, *, actor: str, reason: str | None, dry_run: bool
) -> Collected:
    """Let go what the policy does not promise; see `Workspace.gc`. The caller holds the job lock."""
    now = log.position().at
    manifests = kept_manifests(layout.snapshots)
    gone = let_go(_served(layout, log, manifests), retention, now, way_back=way_back(layout, log))
    names = {one.snapshot for one in gone}
    kept = [manifest for manifest in manifests if manifest.id not in names]
    packs, states = _unused_packs(layout, log, kept), _unused_states(layout, log, kept)
    ended = [event.job for event in log.events(kinds=["job.finished", "job.failed"]) if event.job]
    runs = [job for job in runs_to_let_go(ended, retention) if (layout.runs / job).is_dir()]
    paths = [layout.snapshots / one.snapshot for one in gone] + [layout.runs / job for job in runs]
    paths += [pack_path(layout.experts, name) for name in packs] + [pack_path(layout.states, name) for name in states]
    leftovers = list(_leftovers(layout))
    size = sum(_size(path) for path in (*paths, *leftovers))
    event: int | None = None
    if paths and not dry_run:
        body = {
            "snapshots": [{"snapshot": one.snapshot, "seq": one.seq} for one in gone],
            "packs": packs,
            "states": states,
            "runs": runs,
            "bytes": size,
            "policy": retention.model_dump(),
        }
        event = log.append([Entry("retention.applied", body)], actor=actor, reason=reason).seq
    if not dry_run:
        _remove((*paths, *leftovers))
    return Collected(
        snapshots=[one.snapshot for one in gone],
        packs=packs,
        states=states,
        runs=runs,
        leftovers=len(leftovers),
        bytes=size,
        as_of_lost=_lost(log, gone, kept),
        event=event,
        dry_run=dry_run,
    )


def _served(layout: Layout, log: EditLog, manifests: list[Manifest]) -> list[Served]:
    """Until when each snapshot was served: until the next one that is kept shows a later event."""
    current = published_id(layout.snapshots)
    times = _times(log, {manifest.log["seq"] for manifest in manifests})
    result = []
    for manifest in manifests:
        seq = manifest.log["seq"]
        later = [other for other in times if other > seq]
        # A rebuild under another recipe stands at the same event: it was served until the rebuild, at the latest.
        until = times[min(later)] if later else times[max(times)]
        result.append(Served(manifest.id, seq, None if manifest.id == current else until))
    return result


def _times(log: EditLog, seqs: Iterable[int]) -> dict[int, datetime]:
    return {seq: log.position(seq).at for seq in sorted(seqs)}


def _unused_packs(layout: Layout, log: EditLog, kept: list[Manifest]) -> list[str]:
    """Packs that no kept snapshot names, and that no unretracted fact would need if newer ones were taken back."""
    needed = {name for manifest in kept for name in manifest.packs} | set(serving_state(log).packs)
    standing = {fact.expert for fact in log.facts() if fact.expert and fact.retracted_by is None}
    needed |= {pack for expert, pack in packs_by_expert(log).items() if expert in standing and pack}
    return [name for name in _named(layout.experts) if name not in needed]


def _unused_states(layout: Layout, log: EditLog, kept: list[Manifest]) -> list[str]:
    """States that neither a kept snapshot nor the log's last word names: each wave of an editor leaves one behind."""
    needed = {manifest.state for manifest in kept} | {serving_state(log).state}
    return [name for name in _named(layout.states) if name not in needed]


def _named(directory: Path) -> list[str]:
    """The names of the files there that are named by a hash."""
    return sorted(path.stem for path in directory.glob("*.safetensors") if _HASH.fullmatch(path.stem))


def _leftovers(layout: Layout) -> Iterable[Path]:
    """Temporary files and directories that a crash left behind, an hour old or more."""
    before = time.time() - _LEFTOVER_SECONDS
    for directory in (layout.snapshots, layout.experts, layout.states, layout.runs):
        for path in sorted(directory.glob(".*")):
            if _LEFTOVER.fullmatch(path.name) and path.lstat().st_mtime < before:
                yield path


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(paths: Iterable[Path]) -> None:
    """Take each away under a name that nobody looks at, then for good: a crash leaves no half snapshot behind."""
    for path in paths:
        gone = path if path.name.startswith(".") else temporary_beside(path)
        if gone is not path:
            durable.rename(path, gone, point="gc")
            durable.sync_directory(path.parent, point="gc")
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone)
        else:
            gone.unlink()


def _lost(log: EditLog, gone: list[Served], kept: list[Manifest]) -> list[dict[str, int | str]]:
    """The spans of the log as of which `ask` can answer no longer: from one event up to the next that is kept."""
    positions = {manifest.log["seq"] for manifest in kept}
    lost: list[dict[str, int | str]] = []
    for seq in sorted({one.seq for one in gone} - positions):
        until = min((other for other in positions if other > seq), default=None)
        if until is None or (lost and lost[-1]["to_seq"] == until - 1):
            continue
        lost.append(
            {
                "from_seq": seq,
                "from_at": moment(log.position(seq).at),
                "to_seq": until - 1,
                "to_at": moment(log.position(until - 1).at),
            }
        )
    return lost
