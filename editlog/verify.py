"""Re-derive everything that can be: the chain, the commitments, HEAD, the guards. Trusts no stored hash.

Each event is checked against the stored hash of the one before it, so that one altered row is one finding
with its own seq, wherever else the log was touched. What this cannot see is in docs/FORMAT.md.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from editlog import head, length
from editlog.canonical import canonical_json, commitment, tag
from editlog.errors import IntegrityError, LifelongError
from editlog.events import GENESIS, Stamp, envelope, link
from editlog.fact import record_digest
from editlog.history import EVENT_COLUMNS
from editlog.schema import missing_guards
from editlog.session import DATABASE, tail_of, unchecked
from editlog.texts import COLUMNS, fact_of_row, record_of_row

PAGE = 8192

Code = Literal["database", "head", "missing", "order", "hash", "body", "workspace", "text", "guard", "witness"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written; `seq` is the event it is about, None for the whole log."""

    seq: int | None
    code: Code
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain JSON data."""
        return asdict(self)


def verify(directory: Path, *, timeout: float) -> list[Finding]:
    """All findings, first those of the whole log, then by seq; raises where there is no log or it is busy."""
    try:
        with unchecked(directory, timeout=timeout) as con:
            return inspect(directory, con)
    except IntegrityError as error:
        return [Finding(None, "database", str(error))]


def inspect(directory: Path, con: DuckDBPyConnection) -> list[Finding]:
    """All findings over a connection, the caller holding the lock; raises IntegrityError at an unreadable part."""
    findings = [*_head(directory, con), *_guards(con), *_chain(con), *_texts(con)]
    return sorted(findings, key=lambda finding: (finding.seq is not None, finding.seq or 0))


def _head(directory: Path, con: DuckDBPyConnection) -> Iterator[Finding]:
    tail = tail_of(con)
    try:
        position, _ = head.settle(directory, tail)
    except IntegrityError as error:
        yield Finding(_first_disputed(directory, tail), "head", str(error))
        return
    try:
        length.check(directory, directory / DATABASE, position.seq)
    except IntegrityError as error:
        yield Finding(None, "database", str(error))
    row: Any = con.execute("SELECT kind, body FROM events WHERE seq = 1").fetchone()
    if row is None or row[0] != "workspace.created" or json.loads(row[1])["workspace"] != position.workspace:
        yield Finding(1, "workspace", f"event 1 does not create the workspace {position.workspace} of HEAD")
    row = con.execute("SELECT max(epoch) FROM writer").fetchone()
    if row != (position.epoch,):
        yield Finding(None, "head", f"HEAD was written in epoch {position.epoch}, the database says {row[0]}")


def _first_disputed(directory: Path, tail: tuple[int, str] | None) -> int | None:
    """The first seq on which HEAD and the log disagree; None where HEAD itself cannot be read."""
    try:
        position = head.read(directory)
    except IntegrityError:
        return None
    if position is None:
        return None
    if tail is None:
        return 1
    return position.seq if position.seq == tail[0] else min(position.seq, tail[0]) + 1


def _guards(con: DuckDBPyConnection) -> Iterator[Finding]:
    for name in missing_guards(con):
        yield Finding(None, "guard", f"the guard {name} was dropped: rows may have been changed")


def _chain(con: DuckDBPyConnection) -> Iterator[Finding]:
    """Walk all events in order of seq: none missing, none twice, each hash following from the one before."""
    expected, previous, walked = 1, GENESIS, 0
    for page in _pages(con, f"SELECT {EVENT_COLUMNS} FROM events"):
        for row in page:
            seq, chained = row[0], row[-1]
            if seq > expected:
                yield Finding(expected, "missing", f"event {expected} is missing, the next is {seq}")
            elif seq < expected:
                yield Finding(seq, "order", f"event {seq} stands where {expected} is expected")
            else:
                yield from _event(row, previous)
            expected, previous, walked = seq + 1, chained, walked + 1
    (total,) = con.execute("SELECT count(*) FROM events").fetchall()[0]
    if total != walked:
        yield Finding(None, "order", f"{total - walked} events have the seq of another one")


def _event(row: Sequence[Any], previous: bytes) -> Iterator[Finding]:
    seq, at, kind, actor, reason, job, body, chained = row
    try:
        before, after = envelope(kind, Stamp(at, actor, reason, job))
        canonical = canonical_json(json.loads(body))
    except (LifelongError, ValueError) as error:
        yield Finding(seq, "body", f"event {seq} cannot be read: {error}")
        return
    if canonical != body.encode():
        yield Finding(seq, "body", f"the body of event {seq} is not canonical JSON")
    if link(previous, b'%b%b%b%d,"v":1}' % (before, canonical, after, seq)) != chained:
        yield Finding(seq, "hash", f"the content of event {seq} does not give its hash {tag(chained)}")


def _texts(con: DuckDBPyConnection) -> Iterator[Finding]:
    """Hold each fact.put to the words in the side table, and each row there to a fact.put."""
    told, erased = _told_missing(con)
    query = (
        f"SELECT events.seq, body, texts.seq, secret, digest, key, probes, {', '.join(COLUMNS)} FROM events "
        "LEFT JOIN texts ON texts.seq = events.seq WHERE kind = 'fact.put'"
    )
    for page in _pages(con, query, column="events.seq", condition="AND"):
        for row in page:
            if row[0] in erased and row[2] is not None:
                yield Finding(row[0], "text", f"the text of f{row[0]} is there, though an event says it was redacted")
            elif row[2] is not None:
                yield from _text(row)
            elif row[0] not in told:
                yield Finding(row[0], "text", f"the text of f{row[0]} is missing, and no event says so")
    for (seq,) in con.execute(
        "SELECT seq FROM texts ANTI JOIN (SELECT seq FROM events WHERE kind = 'fact.put') USING (seq)"
    ).fetchall():
        yield Finding(seq, "text", f"there is a text for {seq}, which puts no fact")


def _told_missing(con: DuckDBPyConnection) -> tuple[set[int], set[int]]:
    """The facts that an event says have no words any more, redacted or lost in a recovery; and the redacted ones."""
    query = "SELECT kind, body FROM events WHERE kind IN ('fact.redacted', 'log.recovered')"
    lost: set[int] = set()
    erased: set[int] = set()
    for kind, body in con.execute(query).fetchall():
        said = json.loads(body)
        if kind == "fact.redacted":
            erased.add(said["fact"])
        else:
            lost.update(said["lost_texts"])
    return lost | erased, erased


def _text(row: Sequence[Any]) -> Iterator[Finding]:
    seq, body, _, secret, digest, key, probes, *words = row
    try:
        committed = json.loads(body)["commitment"]
        record = record_of_row(words, probes)
        derived = commitment(secret, canonical_json(record))
        same = record_digest(record) == digest and fact_of_row(words).key == key
    except (ValueError, TypeError, KeyError) as error:
        yield Finding(seq, "text", f"the text of f{seq} cannot be read: {error!r}")
        return
    if not hmac.compare_digest(derived, str(committed)):
        yield Finding(seq, "text", f"the text of f{seq} is not the one that event {seq} committed to")
    elif not same:
        yield Finding(seq, "text", f"the digest or the key stored for f{seq} is not that of its text")


def _pages(
    con: DuckDBPyConnection, query: str, *, column: str = "seq", condition: str = "WHERE"
) -> Iterator[list[tuple[Any, ...]]]:
    """All rows of a query in order of seq, PAGE at a time; the first column must be the seq."""
    last = -(2**63)
    while True:
        window = f"{condition} {column} > ? ORDER BY {column} LIMIT {PAGE}"
        page = con.execute(f"{query} {window}", [last]).fetchall()
        if not page:
            return
        yield page
        last = page[-1][0]
