"""What the verbs of a workspace return: plain data, each with `to_dict()` for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Result:
    """Plain data that turns into JSON as it stands."""

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, nested data included."""
        return asdict(self)


@dataclass(frozen=True)
class Receipt(Result):
    """What an ingest did with the records it was given; `rejects_file` holds line, code and reason of each reject.

    Where `spooled` names a file of the inbox, the log was held: nothing is in it yet, and no count is known.
    """

    accepted: int
    duplicate: int
    superseding: int
    stale_repeat: int
    rejected: int
    converted: int
    batch: str | None
    rejects_file: str | None
    spooled: str | None
    dry_run: bool


@dataclass(frozen=True)
class Recovered(Result):
    """What `log recover` found and brought back; `editlog.recover.Recovery` says more of each field.

    `packs` were damaged or gone and are put aside; their `to_train_again` experts are retired, and the next job
    trains those facts anew. `complete` is about the log alone: an expert that is trained again is not lost.
    """

    findings: list[dict[str, Any]]
    kept: int
    sources: dict[str, int]
    lost: tuple[int, int] | None
    lost_texts: list[str]
    end_known: bool
    complete: bool
    evidence: str | None
    packs: list[str]
    to_train_again: int
    dry_run: bool


@dataclass(frozen=True)
class Key(Result):
    """A key for signatures: its public half (None on a dry run), whom it may sign for, and where it was put if new."""

    name: str
    key: str | None
    authors: list[str]
    file: str | None


@dataclass(frozen=True)
class Endorsed(Result):
    """Facts that were approved or rejected, by whom, and the public key that signed where one did.

    `own` are those of them that the actor wrote or put in: an approval of these admits nothing.
    """

    facts: list[str]
    actor: str
    key: str | None
    own: list[str]
    dry_run: bool


@dataclass(frozen=True)
class Plan(Result):
    """What the next job would do. `estimated_seconds` is from the last job's speed, else from a stated default.

    `held` are pending facts that are not admitted, each with a code and a reason (policies/admission.py). `not_ready`
    says why `run --if-ready` would begin no job now, None where it would. `findings` are odd things about facts that
    are applied all the same (policies/screening.py).
    """

    pending: int
    not_ready: str | None
    resumes: str | None
    mini_batches: int
    waves: int
    experts: int
    estimated_seconds: float
    why: list[str]
    batches: list[list[str]]
    held: list[dict[str, str]]
    findings: list[dict[str, str]]


@dataclass(frozen=True)
class Answer(Result):
    """One answer and where it comes from. `text` is the new text alone; `base` is what the base says (`why` only).

    `as_of` is the event of the log as of which it is the answer; None where it is that of today. `pending`: the fact
    was read as a note, since no job has trained it yet; then there is no `expert`.
    """

    prompt: str
    text: str
    hit: bool
    fact: str | None = None
    similarity: float | None = None
    threshold: float | None = None
    anchor: str | None = None
    expert: str | None = None
    job: str | None = None
    author: str | None = None
    actor: str | None = None
    recorded_at: str | None = None
    base: str | None = None
    as_of: int | None = None
    pending: bool = False


@dataclass(frozen=True)
class Undo(Result):
    """What a retraction took back, and what answers now: an older fact of the key, or the base model."""

    retracted: list[str]
    answers_again: list[str]
    back_to_base: list[str]
    snapshot: str | None
    dry_run: bool


@dataclass(frozen=True)
class RolledBack(Result):
    """What is served again, as of which event; `held` were applied behind it and wait for a word of somebody.

    `retracted_since` answer again, until the next job or retraction publishes what the log says.
    """

    snapshot: str
    was: str
    as_of: int
    held: list[str]
    retracted_since: list[str]
    dry_run: bool


@dataclass(frozen=True)
class SourceRow(Result):
    """One source: how many of its facts are of which status, and who paused it and when, null where nobody did."""

    source: str
    facts: dict[str, int]
    paused_by: str | None
    paused_at: str | None
    reason: str | None


@dataclass(frozen=True)
class SourceChange(Result):
    """A source that was paused or resumed, and how many of its facts wait."""

    source: str
    paused: bool
    waiting: int
    dry_run: bool


@dataclass(frozen=True)
class Redaction(Result):
    """What a redaction destroyed, and what it could not reach.

    `redacted` are the facts asked for and all others with the same content. `to_train_again` are facts that shared an
    expert with one of them: they wait for the next job. `still_said_by` are facts with other targets whose own words
    include its wordings, `files_left` files of somebody else's making that hold them: both are a person's to decide.
    `already_redacted` is True where the log had redacted all of it before, and only what a crash had left was swept.
    """

    redacted: list[str]
    experts_retired: list[str] = field(default_factory=list)
    to_train_again: list[str] = field(default_factory=list)
    packs_rewritten: list[str] = field(default_factory=list)
    snapshots_rewritten: int = 0
    snapshot: str | None = None
    files_changed: list[str] = field(default_factory=list)
    files_left: list[str] = field(default_factory=list)
    still_said_by: list[str] = field(default_factory=list)
    out_of_reach: list[str] = field(default_factory=list)
    already_redacted: bool = False
    dry_run: bool = False

    def after(self, *, snapshot: str | None, snapshots_rewritten: int) -> Redaction:
        """The same, with what is served now and how many older snapshots were written anew."""
        return replace(self, snapshot=snapshot, snapshots_rewritten=snapshots_rewritten)


@dataclass(frozen=True)
class Merge(Result):
    """What a merge did, or on a dry run would do if every group of experts held: groups tried and kept, and `facts`
    in those. Experts and bytes of tensors are of all that could be merged, before and after.
    """

    policy: str
    method: str
    tried: int
    kept: int
    facts: int
    experts_before: int
    experts_after: int
    bytes_before: int
    bytes_after: int
    dry_run: bool


@dataclass(frozen=True)
class Rebuild(Result):
    """The snapshot made again from log and packs, and whether it is the one that was served."""

    snapshot: str
    was: str | None
    identical: bool
    dry_run: bool


@dataclass(frozen=True)
class Collected(Result):
    """What gc let go, in bytes on disk, and the spans of the log as of which `ask` can answer no longer.

    `event` is the event that says so; None where nothing went, or on a dry run.
    """

    snapshots: list[str]
    packs: list[str]
    states: list[str]
    runs: list[str]
    leftovers: int
    bytes: int
    as_of_lost: list[dict[str, int | str]]
    event: int | None
    dry_run: bool


@dataclass(frozen=True)
class Status(Result):
    """A workspace at a glance. Ages are in seconds; `held` counts pending facts that are not admitted, by code.

    `inbox`: how many spooled ingests are `waiting` for the next writer, and `oldest_seconds`, null where none is.
    """

    home: str
    model: str
    base: str
    recipe: str
    head: int
    facts: dict[str, int]
    held: dict[str, int]
    oldest_pending_seconds: float | None
    experts: int
    expert_bytes: int
    snapshot: str | None
    snapshot_behind: bool
    inbox: dict[str, Any]
    last_job: dict[str, Any] | None


@dataclass(frozen=True)
class Blame(Result):
    """A prompt traced back: the route, the fact with its texts, who brought it, what it changed, and its history.

    `who` is author, source, actor, reason, moment and origin; `effect` says what answers since when, and what would
    without it (`without_it` is null where that is the base model: `ask --why` says its answer).
    """

    prompt: str
    hit: bool
    fact: str | None
    similarity: float
    threshold: float
    anchor: str | None
    record: dict[str, Any] | None
    expert: str | None
    job: str | None
    as_of: int | None
    who: dict[str, Any] | None
    effect: dict[str, Any] | None
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class RouteExplanation(Result):
    """The gate's decision with the candidates it weighed, best first."""

    prompt: str
    hit: bool
    fact: str | None
    score: float
    threshold: float
    anchor: str | None
    subject: str | None
    candidates: list[dict[str, Any]]


@dataclass(frozen=True)
class Check(Result):
    """One thing that `doctor` looked at."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class ExpertRow(Result):
    """One expert in use."""

    hash: str
    kind: str
    facts: list[str]
    job: str | None
    pack: str
    bytes: int


@dataclass(frozen=True)
class ExpertHeld(Result):
    """One expert that was ever applied, and each fact it was trained on, with where that fact stands.

    `status` is `in use`, `idle` (none of its facts answers) or `retired`; `pack_bytes` is null where the pack is gone.
    """

    hash: str
    status: str
    job: str | None
    pack: str | None
    pack_bytes: int | None
    applied_at: str
    retired_at: str | None
    retired_reason: str | None
    facts: list[dict[str, Any]]
