"""Events: the immutable rows of the log, their kinds and bodies, and the chain of hashes over them.

docs/FORMAT.md is the contract for everything here. A body is refused here or is in the log for ever, so each
kind says what its body must hold; the kinds of a job may carry more, the kinds of a fact may not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from editlog.canonical import canonical_json, sha256, tag
from editlog.errors import UsageError

VERSION = 1
GENESIS = bytes(32)
MAX_BODY = 16 * 2**20
CHAIN_DOMAIN = b"lifelong/chain/v1\x00"

# Unicode categories Cc and Cs, without line feed and tab.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _there_is(at: str) -> str:
    datetime.fromisoformat(at)
    return at


Hash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, strict=True)]
Seq = Annotated[int, Field(ge=1, strict=True)]
PublicKey = Annotated[str, StringConstraints(pattern=r"^ed25519:[0-9a-f]{64}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^ed25519:[0-9a-f]{128}$")]
PackName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Spool = Annotated[str, StringConstraints(pattern=r"^[0-9]{20}-[0-9a-f]{16}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Moment = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"), AfterValidator(_there_is)
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class WorkspaceCreated(_Closed):
    """Event 1 of every log: a random id, so that no event of one log fits another."""

    workspace: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    format: Literal[1]


class BaseAttached(_Open):
    """The base model that the facts after this one are edited into."""

    fingerprint: Hash


class IngestBatch(_Closed):
    """One ingest that put at least one fact: what came in, and what became of it."""

    origin: Words | None
    origin_sha256: Hash | None
    accepted: Seq
    duplicate: Count
    superseding: Count
    stale_repeat: Count
    rejected: Count
    converted: Count


class FactPut(_Closed):
    """A fact, by commitment only; `supersedes` governed its key so far, `reasserts` said the same before."""

    batch: Seq
    commitment: Annotated[str, StringConstraints(pattern=r"^hmac-sha256:[0-9a-f]{64}$")]
    reasserts: Seq | None
    supersedes: Seq | None


class InboxDrained(_Closed):
    """A spooled ingest that was taken in, whole; `batch` is its ingest.batch event, null where no fact was new."""

    spool: Spool
    batch: Seq | None


class FactRetracted(_Closed):
    """A fact withdrawn, alone (`revert` null) or with all of its job, source or batch."""

    fact: Seq
    revert: Literal["job", "source", "batch"] | None = None


class FactRedacted(_Closed):
    """A fact whose text and key were destroyed."""

    fact: Seq


class SignatureOver(_Closed):
    """A fact and the signature over it."""

    fact: Seq
    signature: Signature


class FactsSigned(_Closed):
    """Signatures by one key over facts, good until `expires`; the `nonce` is used once (editlog/endorsement.py)."""

    key: PublicKey
    expires: Moment
    nonce: Nonce
    facts: list[SignatureOver]


class FactApproved(_Closed):
    """Someone's approval of a fact; the four other fields are null where it is not signed."""

    fact: Seq
    key: PublicKey | None
    expires: Moment | None
    nonce: Nonce | None
    signature: Signature | None

    @model_validator(mode="after")
    def _whole(self) -> FactApproved:
        if len({value is None for value in (self.key, self.expires, self.nonce, self.signature)}) > 1:
            raise ValueError("key, expires, nonce and signature are given together")
        return self


class FactRejected(_Closed):
    """Someone's word that a fact must not be applied."""

    fact: Seq


class LogRecovered(_Open):
    """A recovery of the log: the events before this one were brought back, and these things were not.

    `lost` are the first and last event that are gone, `lost_texts` the facts whose words are; where `end_known` is
    false, nobody can say whether more was lost. `evidence` names the folder that holds the damaged files.
    """

    kept: Seq
    sources: dict[str, Count]
    lost: Annotated[list[Seq], Field(min_length=2, max_length=2)] | None
    lost_texts: list[Seq]
    end_known: Annotated[bool, Field(strict=True)]
    evidence: Words


class LetGo(_Closed):
    """A snapshot that is no longer kept, and the event it showed."""

    snapshot: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    seq: Seq


class RetentionApplied(_Open):
    """What gc let go: as of the events that only these snapshots showed, nothing can be asked of the model."""

    snapshots: list[LetGo]
    packs: list[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]]
    runs: list[Words]


class Applied(_Open):
    """A fact and the expert that carries it."""

    fact: Seq
    expert: Hash


class Refused(_Open):
    """A fact that no expert carries, and why: a code, then words."""

    fact: Seq
    reason: Words


class FactsApplied(_Open):
    """Facts that experts carry from here on."""

    facts: list[Applied]


class FactsRefused(_Open):
    """Facts that failed, or are held back."""

    facts: list[Refused]


class Experts(_Open):
    """Experts trained, or retired."""

    experts: list[Hash]


class Merged(_Open):
    """An expert, and those whose facts it carries from here on."""

    expert: Hash
    parents: Annotated[list[Hash], Field(alias="from", min_length=1)]


class ExpertsMerged(_Open):
    """Experts that were made of others; the facts.applied and experts.retired events behind it say who carries what."""

    merged: list[Merged]
    method: Words


class StateKept(_Closed):
    """What the editor goes on from, or forgets with: a file by the SHA-256 of its bytes; null where there is none."""

    state: PackName | None


class ExpertShared(_Closed):
    """An expert that no fact is applied to, its pack, and the digest of the recipe whose facts share it."""

    expert: Hash
    pack: PackName
    recipe: Hash


class PackRewritten(_Closed):
    """A pack written anew without some experts, or none left: the others lie in `into`, by the same hashes."""

    pack: PackName
    into: PackName | None


class SnapshotRolledBack(_Closed):
    """What was served as of the event `to` (its hash beside it) is served again; `was` is the one served before."""

    snapshot: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    to: Seq
    hash: Hash
    was: Seq


class SourceNamed(_Closed):
    """A source whose facts wait from here on, or no longer do."""

    source: Words


class SnapshotPublished(_Open):
    """What readers serve from here on."""

    snapshot: Hash


class JobNote(_Open):
    """Whatever a job has to say about itself."""


KINDS: dict[str, type[BaseModel]] = {
    "workspace.created": WorkspaceCreated,
    "base.attached": BaseAttached,
    "ingest.batch": IngestBatch,
    "fact.put": FactPut,
    "inbox.drained": InboxDrained,
    "fact.retracted": FactRetracted,
    "fact.redacted": FactRedacted,
    "facts.signed": FactsSigned,
    "fact.approved": FactApproved,
    "fact.rejected": FactRejected,
    "job.started": JobNote,
    "wave.trained": Experts,
    "facts.applied": FactsApplied,
    "facts.failed": FactsRefused,
    "facts.held": FactsRefused,
    "job.audited": JobNote,
    "snapshot.published": SnapshotPublished,
    "snapshot.rolled_back": SnapshotRolledBack,
    "source.paused": SourceNamed,
    "source.resumed": SourceNamed,
    "job.finished": JobNote,
    "job.failed": JobNote,
    "experts.retired": Experts,
    "experts.merged": ExpertsMerged,
    "state.kept": StateKept,
    "expert.shared": ExpertShared,
    "pack.rewritten": PackRewritten,
    "log.recovered": LogRecovered,
    "retention.applied": RetentionApplied,
}
OF_A_JOB = frozenset({"wave.trained"} | {kind for kind in KINDS if kind.startswith("job.")})


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
            if not words.strip() or len(words) > limit or _CONTROL.search(words):
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
    before, after = envelope(kind, stamp)
    return b'%b%b%b%d,"v":1}' % (before, body, after, seq)


def envelope(kind: str, stamp: Stamp) -> tuple[bytes, bytes]:
    """What stands before the body and between the body and the seq: the same for all facts of one ingest."""
    before = b'{"actor":%b,"at":"%b","body":' % (canonical_json(stamp.actor), moment(stamp.at).encode())
    after = b',"job":%b,"kind":%b,"reason":%b,"seq":' % (
        canonical_json(stamp.job),
        canonical_json(kind),
        canonical_json(stamp.reason),
    )
    return before, after


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
