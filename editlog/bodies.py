"""The kinds of events, and what the body of each must hold (docs/FORMAT.md is the contract).

A body is refused before it is written or is in the log for ever. The kinds of a job may carry more than is said
here, the kinds of a fact may not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_BODY = 16 * 2**20


def _there_is(at: str) -> str:
    datetime.fromisoformat(at)
    return at


Hash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, strict=True)]
Seq = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
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


class Thresholds(_Closed):
    """The log-odds that a candidate must reach, by kind of prompt; null where nothing but an exact wording may."""

    near: float | None
    unrelated: float | None


class PromisedShares(_Closed):
    """The shares of false hits that the thresholds were calibrated to."""

    near: Share
    unrelated: Share


class GateCalibrated(_Closed):
    """Thresholds that the gate goes on with until the recipe's policy wants new ones, and what they were made for.

    `facts`: how many were served; `encoder`: the fingerprint of the one that made the anchors.
    """

    thresholds: Thresholds
    facts: Count
    encoder: Words
    budget: PromisedShares


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
    "gate.calibrated": GateCalibrated,
    "pack.rewritten": PackRewritten,
    "log.recovered": LogRecovered,
    "retention.applied": RetentionApplied,
}
OF_A_JOB = frozenset({"wave.trained"} | {kind for kind in KINDS if kind.startswith("job.")})
