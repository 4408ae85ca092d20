"""Re-derive everything that can be: the chain, the commitments, HEAD, the guards. Trusts no stored hash.

Each event is checked against the stored hash of the one before it, so that one altered row is one finding
with its own seq, wherever else the log was touched. What this cannot see is in docs/FORMAT.md.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from editlog import head, length
from editlog.canonical import canonical_json, commitment, tag
from editlog.draft import seal
from editlog.errors import IntegrityError, LifelongError
from editlog.events import GENESIS, Stamp, envelope, link
from editlog.history import EVENT_COLUMNS
from editlog.schema import missing_guards
from editlog.session import DATABASE, tail_of, unchecked
from editlog.texts import COLUMNS, record_of_row

PAGE = 16 * 1024

# The body of a fact.put as writers write it: what matches is canonical JSON, and need not be parsed to know it.
_PUT = re.compile(
    r'\{"batch":[1-9][0-9]*,"commitment":"([0-9a-z:-]+)","reasserts":(?:null|[1-9][0-9]*),'
    r'"supersedes":(?:null|[1-9][0-9]*)\}'
)

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
    for page in _pages(con, f"SELECT {EVENT_COLUMNS} FROM events WHERE {{window}} ORDER BY seq"):
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


def _event(row: Sequence[Any], previous: bytes) -> tuple[Finding, ...]:
    seq, at, kind, actor, reason, job, body, chained = row
    try:
        before, after = _envelope(at, kind, actor, reason, job)
        canonical = body.encode() if _PUT.fullmatch(body) else canonical_json(json.loads(body))
    except (LifelongError, ValueError) as error:
        return (Finding(seq, "body", f"event {seq} cannot be read: {error}"),)
    found = []
    if canonical != body.encode():
        found.append(Finding(seq, "body", f"the body of event {seq} is not canonical JSON"))
    if link(previous, b'%b%b%b%d,"v":1}' % (before, canonical, after, seq)) != chained:
        found.append(Finding(seq, "hash", f"the content of event {seq} does not give its hash {tag(chained)}"))
    return tuple(found)


@lru_cache(maxsize=1024)
def _envelope(at: datetime, kind: str, actor: str, reason: str | None, job: str | None) -> tuple[bytes, bytes]:
    """What stands around the body: all facts of one ingest have the same."""
    return envelope(kind, Stamp(at, actor, reason, job))


def _texts(con: DuckDBPyConnection) -> Iterator[Finding]:
    """Hold each fact.put to the words in the side table, and each row there to a fact.put."""
    told, erased = _told_missing(con)
    query = (
        f"SELECT seq, body, known, secret, digest, key, probes, {', '.join(COLUMNS)} "
        "FROM (SELECT seq, body FROM events WHERE kind = 'fact.put' AND {window}) "
        "LEFT JOIN (SELECT *, seq AS known FROM texts WHERE {window}) USING (seq) ORDER BY seq"
    )
    for page in _pages(con, query):
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


def _text(row: Sequence[Any]) -> tuple[Finding, ...]:
    seq, body, _, secret, digest, key, probes, *words = row
    try:
        put = _PUT.fullmatch(body)
        committed = put[1] if put else json.loads(body)["commitment"]
        sealed = seal(record_of_row(words, probes))
        derived = commitment(secret, sealed.canonical)
    except (ValueError, TypeError, KeyError) as error:
        return (Finding(seq, "text", f"the text of f{seq} cannot be read: {error!r}"),)
    if not hmac.compare_digest(derived, str(committed)):
        return (Finding(seq, "text", f"the text of f{seq} is not the one that event {seq} committed to"),)
    if (sealed.digest, sealed.key) != (digest, key):
        return (Finding(seq, "text", f"the digest or the key stored for f{seq} is not that of its text"),)
    return ()


def _pages(con: DuckDBPyConnection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """All rows of a query, in order of seq, some PAGE at a time; it says `{window}` where a condition on seq is to be.

    Only windows in which the log has events are asked for, however far apart someone has put them.
    """
    starts = f"SELECT DISTINCT seq - (seq % {PAGE} + {PAGE}) % {PAGE} AS start FROM events ORDER BY start"
    for (start,) in con.execute(starts).fetchall():
        yield con.execute(query.replace("{window}", f"seq BETWEEN {start} AND {start + PAGE - 1}")).fetchall()
