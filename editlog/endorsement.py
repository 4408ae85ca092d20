"""Endorsements: signatures over facts, approvals and rejections, as events of the log.

A fact's signature is over its commitment, which stands for all of its words and can be guessed back from nothing, so
that it may stay in the log when the words are erased. Every statement names the workspace, ends at a moment, and
has a number used once, so that no signature serves another workspace, another fact, or a second time.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.canonical import canonical_json, commitment
from editlog.errors import UsageError
from editlog.events import Entry, Event, Stamp, body_of, moment
from editlog.history import LoggedFact, read_events
from editlog.session import Writer
from editlog.signing import SigningKey, is_signed
from editlog.texts import COLUMNS, record_of_row

LIFETIME = timedelta(days=30)
CHUNK = 8192
_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and how long what it signs may wait to be applied."""

    key: SigningKey
    lifetime: timedelta = LIFETIME


@dataclass(frozen=True, slots=True)
class SignatureFound:
    """A signature in the log and whether it holds for what it is beside; `replayed` if its nonce was used before."""

    key: str
    genuine: bool
    replayed: bool
    expires: datetime


@dataclass(frozen=True, slots=True)
class DecisionFound:
    """An approval or a rejection in the log."""

    approves: bool
    actor: str
    signed: SignatureFound | None


@dataclass
class Endorsements:
    """All that the log has on one fact. `authentic` and `copied` are those of `policies.admission.Case`.

    `applied_at` is when it was first applied: a fact once admitted does not expire any more.
    """

    signatures: list[SignatureFound] = field(default_factory=list)
    decisions: list[DecisionFound] = field(default_factory=list)
    authentic: bool = True
    copied: bool = False
    applied_at: datetime | None = None


def fact_statement(workspace: str, committed: str, *, key: str, expires: str, nonce: str) -> dict[str, Any]:
    """What is signed of a fact."""
    about = {"v": 1, "what": "fact", "workspace": workspace, "commitment": committed}
    return {**about, "key": key, "expires": expires, "nonce": nonce}


def approval_statement(
    workspace: str, seq: int, committed: str, actor: str, *, key: str, expires: str, nonce: str
) -> dict[str, Any]:
    """What is signed of an approval: also which event it is about, and who approves."""
    about = {"v": 1, "what": "approval", "workspace": workspace, "fact": seq, "commitment": committed, "actor": actor}
    return {**about, "key": key, "expires": expires, "nonce": nonce}


def sign_facts(writer: Writer, batch: int, stamp: Stamp, signer: Signer) -> None:
    """Append signatures over all facts of the batch that this transaction has put."""
    committed = _commitments(writer.con, "seq > ?", [batch])
    seqs = sorted(committed)
    for start in range(0, len(seqs), CHUNK):
        terms = _terms(signer, stamp)
        facts = [
            {"fact": seq, "signature": signer.key.sign(fact_statement(writer.head.workspace, committed[seq], **terms))}
            for seq in seqs[start : start + CHUNK]
        ]
        writer.append([Entry("facts.signed", {**terms, "facts": facts})], stamp)


def approve(writer: Writer, facts: Sequence[LoggedFact], stamp: Stamp, signer: Signer | None) -> None:
    """Append an approval of each fact, signed where there is a signer."""
    _require_undecided(facts, "approved")
    committed = _commitments(writer.con, "seq IN (SELECT unnest(?::BIGINT[]))", [[fact.seq for fact in facts]])
    entries = []
    for fact in facts:
        body: dict[str, Any] = {"fact": fact.seq, "key": None, "expires": None, "nonce": None, "signature": None}
        if signer:
            terms = _terms(signer, stamp)
            said = approval_statement(writer.head.workspace, fact.seq, committed[fact.seq], stamp.actor, **terms)
            body.update(terms, signature=signer.key.sign(said))
        entries.append(Entry("fact.approved", body))
    writer.append(entries, stamp)


def reject(writer: Writer, facts: Sequence[LoggedFact], stamp: Stamp) -> None:
    """Append a rejection of each fact."""
    _require_undecided(facts, "rejected")
    writer.append([Entry("fact.rejected", {"fact": fact.seq}) for fact in facts], stamp)


def read_endorsements(
    con: DuckDBPyConnection, workspace: str, as_of: int, seqs: Collection[int]
) -> dict[int, Endorsements]:
    """What the log has on each of the facts `seqs`, every signature checked."""
    found = {seq: Endorsements() for seq in seqs}
    wanted = [list(seqs)]
    committed = _commitments(con, "seq IN (SELECT unnest(?::BIGINT[]))", wanted)
    for seq, authentic in _authentic(con, committed):
        found[seq].authentic = authentic
    for seq in _copies(con, as_of, committed):
        found[seq].copied = True
    used: set[tuple[str, str]] = set()
    kinds = "kind IN ('facts.signed', 'fact.approved', 'fact.rejected', 'facts.applied') AND seq <= $1"
    for event in read_events(con, kinds, [as_of]):
        _take(event, workspace, committed, found, used)
    return found


def _take(
    event: Event,
    workspace: str,
    committed: dict[int, str],
    found: dict[int, Endorsements],
    used: set[tuple[str, str]],
) -> None:
    """Note one event on the facts it is about; every nonce counts as used, also those of other facts."""
    body = event.body
    if event.kind == "facts.applied":
        for item in body["facts"]:
            if item["fact"] in found:
                on = found[item["fact"]]
                on.applied_at = on.applied_at or event.at
        return
    try:
        body_of(Entry(event.kind, body))
    except UsageError:  # no writer of ours has written this: it endorses nothing
        return
    terms: dict[str, Any] = {name: body.get(name) for name in ("key", "expires", "nonce")}
    once = (terms["key"], terms["nonce"])
    replayed = once in used
    if terms["key"]:
        used.add(once)
    if event.kind == "facts.signed":
        for item in body["facts"]:
            if item["fact"] in found:
                said = fact_statement(workspace, committed[item["fact"]], **terms)
                found[item["fact"]].signatures.append(_found(said, item["signature"], replayed))
    elif body["fact"] in found:
        signed = None
        if terms["key"]:
            said = approval_statement(workspace, body["fact"], committed[body["fact"]], event.actor, **terms)
            signed = _found(said, body["signature"], replayed)
        decision = DecisionFound(event.kind == "fact.approved", event.actor, signed)
        found[body["fact"]].decisions.append(decision)


def _found(said: dict[str, Any], signature: str, replayed: bool) -> SignatureFound:
    expires = datetime.fromisoformat(said["expires"]).astimezone(UTC)
    return SignatureFound(said["key"], is_signed(said, said["key"], signature), replayed, expires)


def _terms(signer: Signer, stamp: Stamp) -> dict[str, str]:
    expires = moment(stamp.at.astimezone(UTC) + signer.lifetime)
    return {"key": signer.key.public, "expires": expires, "nonce": secrets.token_hex(_NONCE_BYTES)}


def _commitments(con: DuckDBPyConnection, where: str, parameters: list[Any]) -> dict[int, str]:
    rows = con.execute(f"SELECT seq, body FROM events WHERE kind = 'fact.put' AND {where}", parameters).fetchall()
    return {seq: json.loads(body)["commitment"] for seq, body in rows}


def _authentic(con: DuckDBPyConnection, committed: dict[int, str]) -> Iterator[tuple[int, bool]]:
    """Whether the words of each fact are those it committed to; False where they are gone."""
    query = f"SELECT seq, secret, probes, {', '.join(COLUMNS)} FROM texts WHERE seq IN (SELECT unnest(?::BIGINT[]))"
    rows = {row[0]: row for row in con.execute(query, [list(committed)]).fetchall()}
    for seq, wanted in committed.items():
        if seq not in rows:
            yield seq, False
            continue
        _, secret, probes, *words = rows[seq]
        yield seq, hmac.compare_digest(commitment(secret, canonical_json(record_of_row(words, probes))), wanted)


def _copies(con: DuckDBPyConnection, as_of: int, committed: dict[int, str]) -> list[int]:
    """The facts whose commitment another fact had before them: with 32 random bytes each, that is no accident."""
    rows = con.execute(
        "SELECT min(seq), committed FROM ("
        "SELECT seq, regexp_extract(body, 'hmac-sha256:[0-9a-f]{64}') AS committed FROM events "
        "WHERE kind = 'fact.put' AND seq <= ?) GROUP BY committed HAVING count(*) > 1",
        [as_of],
    ).fetchall()
    first = {text: seq for seq, text in rows}
    return [seq for seq, text in committed.items() if first.get(text, seq) != seq]


def _require_undecided(facts: Sequence[LoggedFact], done: str) -> None:
    for fact in facts:
        if fact.retracted_by is not None:
            raise UsageError(f"{fact.ref} is retracted: it cannot be {done} any more")
        if fact.status == "applied":
            raise UsageError(f"{fact.ref} is applied already: `lifelong retract {fact.ref}` takes it back")
