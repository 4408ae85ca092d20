"""Events: the immutable rows of the log, and the chain of hashes over them.

docs/FORMAT.md is the contract for every byte here. What a body may hold is in `bodies`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from editlog.bodies import KINDS, MAX_BODY
from editlog.canonical import CONTROL, canonical_json, sha256, tag
from editlog.errors import UsageError

VERSION = 1
GENESIS = bytes(32)
CHAIN_DOMAIN = b"lifelong/chain/v1\x00"


@dataclass(frozen=True, slots=True)
class Entry:
    """What someone asks the log to append: a kind and its body."""

    kind: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, by whom, why and for which job: what all events of one write share. `at` is UTC."""

    at: datetime
    actor: str
    reason: str | None = None
    job: str | None = None

    def __post_init__(self) -> None:
        for name, words, limit in (
            ("actor", self.actor, 256),
            ("reason", self.reason or "-", 8192),
            ("job", self.job or "-", 256),
        ):
            if not words.strip() or len(words) > limit or CONTROL.search(words):
                raise UsageError(f"the {name} must be 1 to {limit} characters, none a control character")


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the log. `at` is UTC; `hash` is the tagged chain hash up to and including this event."""

    seq: int
    at: datetime
    kind: str
    actor: str
    reason: str | None
    job: str | None
    body: dict[str, Any]
    hash: str

    @property
    def fact(self) -> int | None:
        """The one fact that this event is about, by seq; None where it is about none, or about several."""
        named = self.seq if self.kind == "fact.put" else self.body.get("fact")
        return named if isinstance(named, int) else None

    def to_dict(self) -> dict[str, Any]:
        """The event as plain JSON data: its envelope, and its hash beside it."""
        return {
            "v": VERSION,
            "seq": self.seq,
            "at": moment(self.at),
            "kind": self.kind,
            "actor": self.actor,
            "reason": self.reason,
            "job": self.job,
            "body": self.body,
            "hash": self.hash,
        }


def body_of(entry: Entry) -> bytes:
    """Canonical JSON of a checked body; raises UsageError for an unknown kind or a body that does not fit."""
    model = KINDS.get(entry.kind)
    if model is None:
        raise UsageError(f"{entry.kind!r} is no kind of event: the kinds are {', '.join(KINDS)}")
    try:
        model.model_validate(entry.body)
        body = canonical_json(entry.body)
        if canonical_json(json.loads(body)) != body:
            raise ValueError("its keys are not all text")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise UsageError(f"the body of {entry.kind} does not fit: {where}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"the body of {entry.kind} cannot be written as JSON: {error}") from error
    if len(body) > MAX_BODY:
        raise UsageError(f"the body of {entry.kind} is {len(body)} bytes, the limit is {MAX_BODY}: split it")
    return body


def encode(seq: int, kind: str, stamp: Stamp, body: bytes) -> bytes:
    """The canonical JSON of an event, `body` being canonical already: the bytes its hash is over."""
    return envelope(kind, stamp).event(seq, body)


class Envelope(NamedTuple):
    """What stands before the body and between the body and the seq: the same for all facts of one ingest."""

    before: bytes
    after: bytes

    def event(self, seq: int, body: bytes) -> bytes:
        """The canonical JSON of the event with this seq and canonical body."""
        return b'%b%b%b%d,"v":1}' % (self.before, body, self.after, seq)


def envelope(kind: str, stamp: Stamp) -> Envelope:
    """What stands around the body of an event."""
    before = b'{"actor":%b,"at":"%b","body":' % (canonical_json(stamp.actor), moment(stamp.at).encode())
    after = b',"job":%b,"kind":%b,"reason":%b,"seq":' % (
        canonical_json(stamp.job),
        canonical_json(kind),
        canonical_json(stamp.reason),
    )
    return Envelope(before, after)


def moment(at: datetime) -> str:
    """RFC 3339 of a UTC datetime, with six digits of a second, such as 2026-11-21T02:58:13.000000Z."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def link(previous: bytes, event: bytes) -> bytes:
    """The chain hash (32 raw bytes) of an event's canonical bytes after `previous`."""
    return sha256(CHAIN_DOMAIN, previous, event)


def event_of(row: tuple[Any, ...]) -> Event:
    """An event from a row of the events table."""
    seq, at, kind, actor, reason, job, body, chained = row
    return Event(seq, at.replace(tzinfo=UTC), kind, actor, reason, job, json.loads(body), tag(chained))
