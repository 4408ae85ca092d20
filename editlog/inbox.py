"""The inbox: ingests that found the log held, kept durably until the next writer takes them in, in order, once each.

A spooled ingest is one file in `inbox/`, named by its moment and a random number: a line that says who brought what
and why, then one line of canonical JSON for each record. It is acknowledged when it is durable. Whoever drains it puts
its facts and an inbox.drained event that names it in one transaction, and only then deletes it: killed in between,
the event tells the next one that nothing but the deletion is left to do.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from editlog import durable
from editlog.bodies import Count, Hash, Spool, Words
from editlog.canonical import canonical_json, tag
from editlog.draft import Draft, draft
from editlog.errors import IntegrityError
from editlog.lock import locked
from editlog.texts import COLUMNS, record_of_row

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

INBOX = "inbox"
POINT = "inbox"

_HALF = ".*.jsonl.*"
_PATIENCE = 10.0
_NAME = re.compile(r"([0-9]{20})-[0-9a-f]{16}\.jsonl")


class Header(BaseModel):
    """The first line of a spooled ingest: the call it stands for, and the tagged hash of the lines behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    spool: Spool
    actor: Annotated[str, Field(min_length=1, max_length=256)]
    reason: str | None
    origin: Words | None
    origin_sha256: Hash | None
    rejected: Count
    converted: Count
    reassert: Annotated[bool, Field(strict=True)]
    records: Count
    sha256: Hash


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many spooled ingests wait to be drained, and the moment (UTC) of the oldest; None where none waits."""

    count: int
    oldest: datetime | None


def waiting(directory: Path) -> Waiting:
    """What waits in the inbox of the log in `directory`."""
    paths = files(directory)
    oldest = datetime.fromtimestamp(int(paths[0].name[:20]) / 1e9, UTC) if paths else None
    return Waiting(len(paths), oldest)


def files(directory: Path) -> list[Path]:
    """The spooled ingests, oldest first; what has another name is not one of them."""
    return sorted(path for path in (directory / INBOX).glob("*.jsonl") if _NAME.fullmatch(path.name))


def spool(directory: Path, tables: Iterable[pa.Table], *, now: datetime, **call: object) -> Header:
    """Write an ingest down, durably; `call` are the fields of `Header` that say which."""
    content = b"".join(canonical_json(record) + b"\n" for table in tables for record in _records(table))
    header = Header.model_validate(
        {
            **call,
            "spool": f"{_stamp(directory, now):020d}-{secrets.token_hex(8)}",
            "records": content.count(b"\n"),
            "sha256": tag(hashlib.sha256(content).digest()),
        }
    )
    path = directory / INBOX / f"{header.spool}.jsonl"
    durable.make_directory(path.parent)
    with locked(path.parent, shared=True, timeout=_PATIENCE):
        durable.write_atomically(path, canonical_json(header.model_dump()) + b"\n" + content, point=POINT)
    return header


def sweep(directory: Path) -> None:
    """Remove what was half written by an ingest that was killed: it was never acknowledged, and it holds words."""
    inbox = directory / INBOX
    if any(inbox.glob(_HALF)):
        with locked(inbox, shared=False, timeout=_PATIENCE):
            for path in inbox.glob(_HALF):
                remove(path)


def read(path: Path) -> tuple[Header, list[Draft]]:
    """A spooled ingest; raises FileNotFoundError where it was drained, IntegrityError where it was altered."""
    first, _, content = path.read_bytes().partition(b"\n")
    try:
        header = Header.model_validate_json(first)
    except ValidationError:
        raise _altered(path) from None
    if tag(hashlib.sha256(content).digest()) != header.sha256 or header.spool != path.stem:
        raise _altered(path)
    return header, [draft(json.loads(line)) for line in content.splitlines()]


def is_drained(con: DuckDBPyConnection, name: str) -> bool:
    """Whether the log says that the spooled ingest of that name was taken in."""
    query = "SELECT count(*) FROM events WHERE kind = 'inbox.drained' AND contains(body, ?)"
    return con.execute(query, [name]).fetchone() != (0,)


def remove(path: Path) -> None:
    """Delete a file of the inbox that nobody needs any more."""
    with durable.operation(f"{POINT}.remove", path):
        path.unlink(missing_ok=True)
    durable.sync_directory(path.parent, point=f"{POINT}.remove")


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    columns = [table[name].to_pylist() for name in (*COLUMNS, "probes")]
    for *words, probes in zip(*columns, strict=True):
        yield record_of_row(words, probes)


def _stamp(directory: Path, now: datetime) -> int:
    """Nanoseconds since 1970, beyond those of all that wait: the order holds whatever the clock does."""
    last = max((int(path.name[:20]) for path in files(directory)), default=0)
    return max(int(now.timestamp() * 1e6) * 1000, last + 1)


def _altered(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path} is not what was spooled: move it elsewhere, then ingest the file that it came from again"
    )
