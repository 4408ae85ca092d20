"""HEAD: where the log stood at its last acknowledgement, kept outside the database.

A write goes: HEAD.next durable, transaction committed, HEAD.next renamed to HEAD, directory synced,
acknowledged. `settle` says what a crash in between has left: the log is at HEAD (nothing was committed) or at
HEAD.next (it was). Anything else is damage or tampering, and nothing is touched.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from editlog import durable
from editlog.canonical import canonical_json, sha256, tag, untag
from editlog.errors import IntegrityError

HEAD = "HEAD"
NEXT = "HEAD.next"
FORMAT = 1

_CHECK_DOMAIN = b"lifelong/head/v1\x00"
_MAX_BYTES = 4096
_WORKSPACE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Head:
    """One position of one log: the last event's number and chain hash, and the epoch of who wrote it."""

    workspace: str
    seq: int
    hash: str
    epoch: int

    def encode(self) -> bytes:
        """The bytes of a HEAD file: one line of canonical JSON that carries its own check."""
        body = {"v": FORMAT, **asdict(self)}
        return canonical_json({**body, "check": tag(sha256(_CHECK_DOMAIN, canonical_json(body)))}) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Head:
        """Read a HEAD file's bytes back; raises ValueError where any byte is not as `encode` wrote it."""
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise ValueError("not an object")
        head = cls(*(body.get(name) for name in cls.__slots__))  # type: ignore[arg-type]
        if not (isinstance(head.workspace, str) and _WORKSPACE.fullmatch(head.workspace)):
            raise ValueError("no workspace id")
        untag(str(head.hash))
        if type(head.seq) is not int or type(head.epoch) is not int or min(head.seq, head.epoch) < 1:
            raise ValueError("no position")
        if head.encode() != raw:
            raise ValueError("its check does not fit")
        return head


def read(directory: Path, name: str = HEAD) -> Head | None:
    """Read HEAD or HEAD.next; None where there is none, IntegrityError where it is damaged."""
    path = directory / name
    try:
        with path.open("rb") as file:
            return Head.decode(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise IntegrityError(
            f"{path} is damaged ({error}): nothing was changed, keep the whole directory as it is"
        ) from error


def announce(directory: Path, head: Head) -> None:
    """Make HEAD.next durable: from here on the log may be found at `head`."""
    fresh = directory / f"{NEXT}.new"
    durable.write(fresh, head.encode(), point="head.next")
    durable.rename(fresh, directory / NEXT, point="head.next")
    durable.sync_directory(directory, point="head.next")


def promote(directory: Path) -> None:
    """Make HEAD.next the HEAD, durably: what it names is acknowledged once this returns.

    The directory is synced before, too: the database or its write-ahead log, which has just been made, must not lose
    its name to a power failure that the new HEAD survives.
    """
    durable.sync_directory(directory, point="commit")
    durable.rename(directory / NEXT, directory / HEAD, point="head")
    durable.sync_directory(directory, point="head")


def forget(directory: Path) -> None:
    """Drop a HEAD.next whose transaction was never committed."""
    (directory / NEXT).unlink(missing_ok=True)
    durable.sync_directory(directory, point="head.forget")


def settle(directory: Path, tail: tuple[int, str] | None) -> tuple[Head, bool]:
    """Where the log stands, given the (seq, hash) of its last event, and whether HEAD.next is what says so.

    Only reads. Raises IntegrityError where neither file names the log's end.
    """
    head, announced = read(directory), read(directory, NEXT)
    for candidate in (head, announced):
        if candidate is not None and (candidate.seq, candidate.hash) == tail:
            return candidate, candidate is not head
    raise IntegrityError(_disagreement(directory, head, tail))


def _disagreement(directory: Path, head: Head | None, tail: tuple[int, str] | None) -> str:
    keep = "nothing was changed, keep the whole directory as it is"
    if head is None:
        return f"the edit log in {directory} has no {HEAD}: {keep}"
    if tail is None:
        return f"the edit log in {directory} is empty, {HEAD} says {head.seq} events: {keep}"
    if tail[0] == head.seq:
        return f"event {head.seq} of the log in {directory} does not have the hash that {HEAD} names: {keep}"
    return f"the edit log in {directory} ends at event {tail[0]}, {HEAD} says {head.seq}: {keep}"
