"""The witness: a place outside the log that is told each head, so that a rewritten or shortened log shows.

What it is told is a tree head: workspace, seq, chain hash, Merkle root, time, and a signature where there is a key.
Once two places have to be changed at once, a log and its HEAD can no longer be put back together unseen. A witness
that cannot be told never costs a fact: by then the fact is acknowledged; it is warned of, noted in `WITNESS`, and told
next time. A later head covers all earlier events, so nothing has to be told twice.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from editlog import durable
from editlog.canonical import canonical_json, tag, untag
from editlog.errors import LifelongError, UsageError
from editlog.events import moment
from editlog.head import Head
from editlog.signing import SigningKey, is_signed

STATE = "WITNESS"
COMMAND_SECONDS = 10.0
_MAX_LINE = 4096
_log = logging.getLogger("lifelong.witness")


@dataclass(frozen=True, slots=True)
class TreeHead:
    """One position of a log as a witness is told it; `root` is the Merkle root over events 1 to `seq`."""

    workspace: str
    seq: int
    hash: str
    root: str
    at: str
    key: str | None = None
    signature: str | None = None

    def statement(self) -> dict[str, Any]:
        """What is signed."""
        said = {"workspace": self.workspace, "seq": self.seq, "hash": self.hash, "root": self.root, "at": self.at}
        return {"v": 1, "what": "head", **said, "key": self.key}

    def encode(self) -> bytes:
        """One line of canonical JSON and a line feed."""
        return canonical_json({**self.statement(), "signature": self.signature}) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> TreeHead:
        """Read a line back; raises ValueError where any byte is not as `encode` wrote it."""
        body = json.loads(line)
        if not isinstance(body, dict):
            raise ValueError("not an object")
        head = cls(*(body.get(name) for name in cls.__slots__))  # type: ignore[arg-type]
        untag(str(head.hash)), untag(str(head.root))
        if type(head.seq) is not int or head.seq < 1 or head.encode() != line:
            raise ValueError("not a tree head of this version")
        return head

    def signed(self, key: SigningKey) -> TreeHead:
        """The same head, signed."""
        named = replace(self, key=key.public, signature=None)
        return replace(named, signature=key.sign(named.statement()))

    def is_signed_by(self, public: str) -> bool:
        """Whether this head carries that key's signature over it."""
        return self.key == public and is_signed(self.statement(), public, self.signature or "")


@dataclass(frozen=True)
class Witness:
    """Who is told: a file that grows by a line for each head, or a command that gets the line on standard input.

    The command is an argument list, run without a shell, and has `COMMAND_SECONDS`. `key` is the file of the key that
    signs each head, None where heads are not signed.
    """

    target: Path | tuple[str, ...]
    key: Path | None = None

    def tell(self, head: TreeHead) -> None:
        """Hand over one head, durably; raises LifelongError or OSError where that fails."""
        told = head.signed(SigningKey.load(self.key)) if self.key else head
        if isinstance(self.target, Path):
            durable.append(self.target, told.encode(), point="witness")
        else:
            _call(self.target, told.encode())


@dataclass(frozen=True, slots=True)
class Told:
    """What the witness was last told, and what has gone wrong since; `seq` is 0 where it was never told anything."""

    seq: int
    at: str | None
    problem: str | None


def last_told(directory: Path) -> Told:
    """What the note in the log's directory says; it is a cache, whatever cannot be read counts as nothing told."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads((directory / STATE).read_text(encoding="utf-8"))
        return Told(int(noted["seq"]), noted["at"], noted["problem"])
    return Told(0, None, None)


def inform(directory: Path, witness: Witness, head: TreeHead) -> None:
    """Tell the witness a head and note the outcome; a failure is a warning, since the head is acknowledged already."""
    before = last_told(directory)
    try:
        witness.tell(head)
    except (LifelongError, OSError, subprocess.SubprocessError) as error:
        warn(error)
        _note(directory, Told(before.seq, before.at, f"{moment_of(head)}: {error}"))
    else:
        _note(directory, max(before, Told(head.seq, head.at, None), key=lambda told: told.seq))


def warn(error: Exception) -> None:
    """Warn that the witness was not told; nobody has lost anything."""
    _log.warning("Warning: the witness could not be told (%s); what was done is safe, it is told next time", error)


def moment_of(head: TreeHead) -> str:
    """When a head was made, to the second."""
    return head.at[:19] + "Z"


def read_heads(path: Path) -> Iterator[tuple[int, TreeHead | str]]:
    """Each line of a witness's file by its number: the head, or what is wrong with the line."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read the witness {path}: {error.strerror}") from error
    with file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            try:
                yield number, TreeHead.decode(line)
            except (ValueError, TypeError, RecursionError) as error:
                yield number, str(error)


def tree_head(position: Head, root: bytes, now: datetime) -> TreeHead:
    """The tree head of a position; `now` is UTC."""
    return TreeHead(position.workspace, position.seq, position.hash, tag(root), moment(now))


def _call(command: tuple[str, ...], line: bytes) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the configuration's own argument list, no shell
            command, input=line, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LifelongError(f"{command[0]} took longer than {COMMAND_SECONDS:.0f} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LifelongError(f"{command[0]} ended with {done.returncode}{f': {said[-1][:200]}' if said else ''}")


def _note(directory: Path, told: Told) -> None:
    with suppress(OSError):  # the note is a cache: without it, doctor sees a lag and the next write tells again
        fresh = durable.temporary_beside(directory / STATE)
        fresh.write_text(json.dumps({"seq": told.seq, "at": told.at, "problem": told.problem}) + "\n", encoding="utf-8")
        fresh.replace(directory / STATE)
