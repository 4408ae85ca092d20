"""A snapshot: what a reader serves, published by one atomic rename.

`snapshots/<id>/` holds `manifest.json` (log position, base, encoder, packs), `facts.jsonl` and the gate's
anchors; the id is the hash of the manifest, which holds the hashes of the other files. `snapshots/CURRENT`
names the one that is served, `@champion`; a job's `@candidate` lies under `snapshots/candidate`. A snapshot is a
cache: the log and the packs are enough to make it again, byte for byte.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from editlog.canonical import canonical_json, sha256
from editlog.errors import IntegrityError, UsageError
from lifelong.anchors.gate import Gate, ScopedFact
from lifelong.files import file_sha256, make_directory, publish_directory, temporary_beside, write_atomically
from lifelong.snapshots.serving import Served

FORMAT = "lifelong-snapshot/1"
CURRENT = "CURRENT"
CANDIDATE = "candidate"
FACTS = "facts.jsonl"
MANIFEST = "manifest.json"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Manifest:
    """What a snapshot was made from: `log` is the position {seq, hash} of the last event that shows in it."""

    log: dict[str, Any]
    base: str
    encoder: str
    packs: tuple[str, ...]
    files: dict[str, str]
    state: str | None = None

    def to_bytes(self) -> bytes:
        """Canonical JSON; `state`, the name of the editor's, only where there is one."""
        return canonical_json(
            {
                "format": FORMAT,
                "log": self.log,
                "base": self.base,
                "encoder": self.encoder,
                "packs": list(self.packs),
                "files": self.files,
                **({"state": self.state} if self.state else {}),
            }
        )

    @property
    def id(self) -> str:
        """32 hex digits of the manifest's SHA-256."""
        return _id_of(self.to_bytes())


@dataclass(frozen=True)
class Snapshot:
    """An opened snapshot: its directory, manifest and facts."""

    directory: Path
    manifest: Manifest
    facts: tuple[Served, ...]


def scoped(facts: Sequence[Served]) -> list[ScopedFact]:
    """The facts as the gate wants them."""
    return [
        ScopedFact(
            seq=served.seq,
            prompt=served.fact.prompt,
            subject=served.fact.subject,
            relation=served.fact.relation,
            rephrases=served.fact.rephrases,
            near_misses=tuple(near.prompt for near in served.fact.near_misses),
            negative=served.negative,
            valid_from=served.fact.valid_from,
            valid_to=served.fact.valid_to,
        )
        for served in facts
    ]


def write_snapshot(
    snapshots: Path,
    *,
    facts: Sequence[Served],
    gate: Gate,
    log: dict[str, Any],
    base: str,
    encoder: str,
    packs: Sequence[str],
    state: str | None = None,
) -> str:
    """Write a snapshot, whole or not at all, without serving it yet; returns its id."""
    with _new_directory(snapshots) as temporary:
        (temporary / FACTS).write_bytes(b"".join(canonical_json(fact.to_dict()) + b"\n" for fact in facts))
        gate.save(temporary)
        files = {file.name: file_sha256(file) for file in sorted(temporary.iterdir())}
        manifest = Manifest(log, base, encoder, tuple(sorted(packs)), files, state)
        (temporary / MANIFEST).write_bytes(manifest.to_bytes())
        publish_directory(temporary, snapshots / manifest.id)
    return manifest.id


def promote(snapshots: Path, snapshot: Snapshot, *, log: dict[str, Any]) -> str:
    """Give the files of a snapshot, which are not copied, a manifest of another position of the log; the new id."""
    manifest = replace(snapshot.manifest, log=log)
    with _new_directory(snapshots) as temporary:
        for name in manifest.files:
            _link(snapshot.directory / name, temporary / name)
        (temporary / MANIFEST).write_bytes(manifest.to_bytes())
        publish_directory(temporary, snapshots / manifest.id)
    return manifest.id


def _link(file: Path, name: Path) -> None:
    """A second name for a file that never changes, or a copy on a disk that knows no second names."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)


@contextmanager
def _new_directory(snapshots: Path) -> Iterator[Path]:
    """A directory to be filled and published; it is gone where that fails."""
    make_directory(snapshots)
    temporary = temporary_beside(snapshots / "new")
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def serve(snapshots: Path, snapshot_id: str, *, point: str = "current") -> None:
    """Move CURRENT to a written snapshot: from this rename on, every new reader sees it."""
    write_atomically(snapshots / CURRENT, f"{snapshot_id}\n".encode(), point=point)


def drop_candidate(snapshots: Path) -> None:
    """Remove `@candidate`; one that is there before a job was left by one that was killed."""
    shutil.rmtree(snapshots / CANDIDATE, ignore_errors=True)


def current_id(snapshots: Path) -> str | None:
    """The id of the snapshot that is served, None before the first; raises IntegrityError if CURRENT is damaged."""
    try:
        text = (snapshots / CURRENT).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(text):
        raise IntegrityError(f"{snapshots / CURRENT} is damaged; `lifelong rebuild` makes the snapshot again")
    return text


def published_id(snapshots: Path) -> str:
    """The id of the snapshot that is served; raises UsageError where nothing is published."""
    snapshot_id = current_id(snapshots)
    if snapshot_id is None:
        raise UsageError(f"nothing is published in {snapshots.parent}; `lifelong rebuild` makes the snapshot again")
    return snapshot_id


def read_manifest(snapshots: Path, snapshot_id: str) -> Manifest:
    """Read a snapshot's manifest and check it against the snapshot's name; raises IntegrityError."""
    path = snapshots / snapshot_id / MANIFEST
    try:
        content = path.read_bytes()
        if _id_of(content) != snapshot_id:
            raise ValueError("it does not match the snapshot's name")
        raw = json.loads(content)
        if raw.pop("format") != FORMAT:
            raise ValueError("unknown format")
        manifest = Manifest(**{**raw, "packs": tuple(raw["packs"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(_damaged(path, error)) from error
    return manifest


def kept_manifests(snapshots: Path) -> list[Manifest]:
    """The manifests of all snapshots that are kept, by the position of the log that they show."""
    names = [entry.name for entry in snapshots.iterdir()] if snapshots.is_dir() else []
    manifests = [read_manifest(snapshots, name) for name in sorted(names) if _ID.fullmatch(name)]
    return sorted(manifests, key=lambda manifest: (manifest.log["seq"], manifest.id))


def read_snapshot(snapshots: Path, snapshot_id: str) -> Snapshot:
    """Open a snapshot and check every file against its manifest; raises IntegrityError if anything is off."""
    manifest = read_manifest(snapshots, snapshot_id)
    directory = snapshots / snapshot_id
    try:
        for name, digest in manifest.files.items():
            if Path(name).name != name or file_sha256(directory / name) != digest:
                raise ValueError(f"{name} does not match the manifest")
        lines = (directory / FACTS).read_bytes().splitlines()
        facts = tuple(Served.from_dict(json.loads(line)) for line in lines)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(_damaged(directory, error)) from error
    return Snapshot(directory, manifest, facts)


def rewrite_without(snapshots: Path, gone: Set[int], moved: Mapping[str, str | None]) -> int:
    """Write every kept snapshot anew that has one of the facts `gone` or names a pack that was `moved`; how many.

    Thresholds, encoder and all other anchors stay. One that cannot be read any more, or only half written, is removed
    unless it is served. Whoever is killed here does the rest when calling again; nobody may be publishing.
    """
    changed = 0
    for directory in sorted(snapshots.iterdir()):
        if not directory.is_dir():
            continue
        try:
            snapshot = read_snapshot(snapshots, directory.name)
        except IntegrityError:
            if directory.name != current_id(snapshots):
                shutil.rmtree(directory)
            continue
        manifest = snapshot.manifest
        if gone.isdisjoint(served.seq for served in snapshot.facts) and not moved.keys() & set(manifest.packs):
            continue
        changed += 1
        with suppress(IntegrityError, UsageError):
            kept = [served for served in snapshot.facts if served.seq not in gone]
            write_snapshot(
                snapshots,
                facts=kept,
                gate=Gate.load(snapshot.directory).over(scoped(kept)),
                log=manifest.log,
                base=manifest.base,
                encoder=manifest.encoder,
                packs=sorted({pack for name in manifest.packs if (pack := moved.get(name, name))}),
                state=manifest.state,
            )
        shutil.rmtree(snapshot.directory)
    return changed


def _id_of(manifest: bytes) -> str:
    return sha256(b"lifelong/snapshot/v1\x00", manifest).hex()[:32]


def _damaged(path: Path, error: Exception) -> str:
    return f"the snapshot {path} is damaged ({error}); `lifelong rebuild` makes it again from the log"
