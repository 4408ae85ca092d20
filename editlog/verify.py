"""Re-derive everything that can be: the chain, the commitments, HEAD, the guards. Trusts no stored hash.

Each event is checked against the stored hash of the one before it, so that one altered row is one finding
with its own seq, wherever else the log was touched, and so that windows of the log can be checked side by side.
Rows that are plainly as they were written are passed by DuckDB (`derivation`), all others are looked at here. What
this cannot see is in docs/FORMAT.md.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from editlog import derivation, head, length
from editlog.canonical import canonical_json, commitment, tag
from editlog.draft import seal
from editlog.errors import IntegrityError, LifelongError
from editlog.events import Envelope, Stamp, envelope, link
from editlog.schema import missing_guards
from editlog.session import DATABASE, tail_of, unchecked
from editlog.texts import record_of_row

PAGE = 16 * 1024

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
    """Hold all events to their order and to the stored hash of the one before: none missing, none twice."""
    for seq, before in con.execute(derivation.ORDER).fetchall():
        if seq > before + 1:
            yield Finding(before + 1, "missing", f"event {before + 1} is missing, the next is {seq}")
        else:
            yield Finding(seq, "order", f"event {seq} stands where {before + 1} is expected")
    yield from _doubtful(con, derivation.EVENTS, lambda row: _event(row[:-1], row[-1]))


def _event(row: Sequence[Any], previous: bytes) -> Iterator[Finding]:
    seq, at, kind, actor, reason, job, body, chained = row
    try:
        around = _envelope(at, kind, actor, reason, job)
        canonical = canonical_json(json.loads(body))
    except (LifelongError, ValueError) as error:
        yield Finding(seq, "body", f"event {seq} cannot be read: {error}")
        return
    if canonical != body.encode():
        yield Finding(seq, "body", f"the body of event {seq} is not canonical JSON")
    if link(previous, around.event(seq, canonical)) != chained:
        yield Finding(seq, "hash", f"the content of event {seq} does not give its hash {tag(chained)}")


@lru_cache(maxsize=1024)
def _envelope(at: datetime, kind: str, actor: str, reason: str | None, job: str | None) -> Envelope:
    """What stands around the body: all facts of one ingest have the same."""
    return envelope(kind, Stamp(at, actor, reason, job))


def _texts(con: DuckDBPyConnection) -> Iterator[Finding]:
    """Hold each fact.put to the words in the side table, and each row there to a fact.put."""
    told, erased = _told_missing(con)

    def examined(row: Sequence[Any]) -> Iterator[Finding]:
        if row[2] is not None:
            yield from _text(row)
        elif row[0] not in told:
            yield Finding(row[0], "text", f"the text of f{row[0]} is missing, and no event says so")

    yield from _doubtful(con, derivation.TEXTS, examined)
    still_there = "SELECT seq FROM texts WHERE seq IN (SELECT try_cast(unnest(?::VARCHAR[]) AS BIGINT))"
    for (seq,) in con.execute(still_there, [list(map(str, erased))]).fetchall():
        yield Finding(seq, "text", f"the text of f{seq} is there, though an event says it was redacted")
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
        with suppress(ValueError, TypeError, KeyError):  # an altered body is a finding of the chain
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
        sealed = seal(record_of_row(words, probes))
        derived = commitment(secret, sealed.canonical)
    except (ValueError, TypeError, KeyError) as error:
        yield Finding(seq, "text", f"the text of f{seq} cannot be read: {error!r}")
        return
    if not hmac.compare_digest(derived, str(committed)):
        yield Finding(seq, "text", f"the text of f{seq} is not the one that event {seq} committed to")
    elif (sealed.digest, sealed.key) != (digest, key):
        yield Finding(seq, "text", f"the digest or the key stored for f{seq} is not that of its text")


def _doubtful(
    con: DuckDBPyConnection, query: str, examine: Callable[[Sequence[Any]], Iterable[Finding]]
) -> Iterator[Finding]:
    """What `examine` finds in the rows that a query of `derivation` lists, a window of the log on each core at a time.

    Only windows in which the log has events are asked for, however far apart someone has put them.
    """
    starts = f"SELECT DISTINCT seq - (seq % {PAGE} + {PAGE}) % {PAGE} AS start FROM events ORDER BY start"

    def window(start: int) -> list[Finding]:
        with con.cursor() as cursor:
            rows = cursor.execute(query, [start, start + PAGE - 1]).fetchall()
        return [finding for row in rows for finding in examine(row)]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for found in pool.map(window, [start for (start,) in con.execute(starts).fetchall()]):
            yield from found
