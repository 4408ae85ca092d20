"""Facts to fact.put events, exactly once, in one transaction for each call.

What can be done before the log is locked (records, digests, secrets, commitments) is done there, so that the
lock is held for about ten microseconds a fact. Rows travel as Arrow tables, some 0.3 KB a fact, and in flat memory.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from duckdb import DuckDBPyConnection

from editlog.canonical import COMMITMENT_TAG, KEY_BYTES, seal_of
from editlog.draft import Draft, draft_of, seal
from editlog.endorsement import Signer, sign_facts
from editlog.events import Entry, Stamp, envelope, link
from editlog.fact import Fact
from editlog.head import Head
from editlog.history import retracted_in
from editlog.session import Writer
from editlog.texts import WORDS, naive

CHUNK = 16 * 1024
SPOOLED = 32 * 2**20

NONE = 0  # no event has this number

Verdict = Literal["accepted", "duplicate", "stale_repeat"]

_SCHEMA = pa.schema(
    [
        ("secret", pa.binary(KEY_BYTES)),
        ("digest", pa.binary()),
        ("key", pa.string()),
        ("commitment", pa.binary(KEY_BYTES)),
        *((name, pa.string()) for name in WORDS),
        ("valid_from", pa.timestamp("us")),
        ("valid_to", pa.timestamp("us")),
        ("more", pa.string()),
        ("probes", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the facts of one ingest.

    `superseding` counts those among the accepted that took a key over from an older fact. `batch` is the seq
    of the ingest.batch event, None where nothing was written; `head` is where the log stands after it.
    """

    accepted: int
    duplicate: int
    superseding: int
    stale_repeat: int
    rejected: int
    converted: int
    batch: int | None
    head: Head

    def to_dict(self) -> dict[str, Any]:
        """The receipt as plain JSON data."""
        return asdict(self)


class Put(NamedTuple):
    """An earlier fact of the same key."""

    seq: int
    digest: bytes


class Judgement(NamedTuple):
    """What becomes of an incoming fact, and which older facts it refers to."""

    verdict: Verdict
    supersedes: int | None = None
    reasserts: int | None = None


def judge(
    puts: Sequence[Put],
    digest: bytes,
    *,
    retracted: set[int],
    redelivered: Callable[[int], bool],
    reassert: bool,
) -> Judgement:
    """Decide on a fact, given all earlier puts of its key in log order.

    What governs is the latest unretracted put. The same as what governs is a duplicate. The same as an older
    one is a stale repeat, unless reasserted. The same as one that was retracted is a new fact, unless the
    very file that brought the first one is delivered again: that must change nothing.
    """
    live = [put for put in puts if put.seq not in retracted]
    governing = live[-1] if live else None
    if governing is not None and governing.digest == digest:
        return Judgement("duplicate")
    same = [put.seq for put in puts if put.digest == digest]
    if same and not reassert:
        if governing is not None and governing.seq > same[-1]:
            return Judgement("stale_repeat")
        if redelivered(same[-1]):
            return Judgement("duplicate")
    return Judgement("accepted", governing and governing.seq, same[-1] if same else None)


class Prepared:
    """Incoming facts with everything about them that does not depend on the log, in tables of at most CHUNK rows.

    They lie in memory up to SPOOLED bytes, then in a nameless file in `directory`; iterating reads them back, as often
    as one likes. `count` is how many there are. Close it, or use it as a context manager.
    """

    def __init__(self, facts: Iterable[Fact | Draft], directory: Path) -> None:
        self.count = 0
        self._file = tempfile.SpooledTemporaryFile(SPOOLED, dir=str(directory))  # noqa: SIM115 (closed with this)
        with pa.ipc.new_stream(self._file, _SCHEMA) as sink:
            stream = iter(facts)
            while chunk := list(islice(stream, CHUNK)):
                sink.write_table(_table(chunk))
                self.count += len(chunk)

    def __iter__(self) -> Iterator[pa.Table]:
        self._file.seek(0)
        for batch in pa.ipc.open_stream(self._file):
            yield pa.Table.from_batches([batch])

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _table(facts: Sequence[Fact | Draft]) -> pa.Table:
    keys = secrets.token_bytes(KEY_BYTES * len(facts))
    rows = []
    for number, fact in enumerate(facts):
        record, valid_from, valid_to = draft_of(fact) if isinstance(fact, Fact) else fact
        sealed, secret = seal(record), keys[number * KEY_BYTES : (number + 1) * KEY_BYTES]
        words = map(record.get, WORDS)
        opened = seal_of(secret, sealed.canonical)
        rows.append(
            (secret, sealed.digest, sealed.key, opened, *words, valid_from, valid_to, sealed.more, sealed.probes)
        )
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )


def run(
    writer: Writer,
    tables: Iterable[pa.Table],
    stamp: Stamp,
    batch: dict[str, Any],
    *,
    reassert: bool,
    dry_run: bool,
    signer: Signer | None = None,
    spool: str | None = None,
) -> Receipt:
    """Ingest prepared tables in the writer's transaction; a dry run leaves it to be rolled back.

    `batch` has the fields of the ingest.batch event that are known beforehand. A `signer` signs what is accepted.
    `spool` names the spooled ingest that these tables are, which the log then says was drained.
    """
    work = _Ingest(writer, reassert=reassert, origin_sha256=batch["origin_sha256"])
    for table in tables:
        work.take(table)
    if not dry_run:
        work.finish(stamp, batch)
        if signer and work.counts["accepted"]:
            sign_facts(writer, work.batch, stamp, signer)
    put = work.counts["accepted"] > 0 and not dry_run
    if spool is not None:
        writer.append([Entry("inbox.drained", {"spool": spool, "batch": work.batch if put else None})], stamp)
    written = put or spool is not None
    return Receipt(
        **work.counts,
        rejected=batch["rejected"],
        converted=batch["converted"],
        batch=work.batch if put else None,
        head=writer.commit() if written else writer.head,
    )


class _Accepted(NamedTuple):
    """What the events of accepted facts will say: raw commitments, one behind another, and older facts, or NONE."""

    commitments: bytes
    supersedes: array[int]
    reasserts: array[int]


class _Ingest:
    """One ingest inside one transaction: `take` each table, then `finish`."""

    def __init__(self, writer: Writer, *, reassert: bool, origin_sha256: str | None) -> None:
        self._writer, self._con, self._reassert = writer, writer.con, reassert
        self._retracted = retracted_in(writer.con)
        self._same_file = _batches_of(writer.con, origin_sha256)
        self._accepted: list[_Accepted] = []
        self.batch = writer.head.seq + 1
        self.next_seq = self.batch + 1
        self.counts = {"accepted": 0, "duplicate": 0, "superseding": 0, "stale_repeat": 0}

    def take(self, table: pa.Table) -> None:
        """Judge the facts of a table in order, and store the words of those that are accepted."""
        digests, keys = table["digest"].to_pylist(), table["key"].to_pylist()
        puts = self._puts_of(table)
        first, kept = self.next_seq, array("q")
        supersedes, reasserts = array("q"), array("q")
        for row, (digest, key) in enumerate(zip(digests, keys, strict=True)):
            earlier = puts.get(key)
            if earlier is None:
                puts[key] = [Put(self.next_seq, digest)]
                superseded = reasserted = None
            else:
                verdict, superseded, reasserted = judge(
                    earlier,
                    digest,
                    retracted=self._retracted,
                    redelivered=self._redelivered,
                    reassert=self._reassert,
                )
                if verdict != "accepted":
                    self.counts[verdict] += 1
                    continue
                self.counts["superseding"] += superseded is not None
                earlier.append(Put(self.next_seq, digest))
            self.next_seq += 1
            kept.append(row)
            supersedes.append(superseded or NONE)
            reasserts.append(reasserted or NONE)
        if kept:
            self.counts["accepted"] += len(kept)
            accepted = table if len(kept) == len(table) else table.take(pa.array(kept))
            commitments = b"".join(accepted["commitment"].to_pylist())  # a column would keep its whole table alive
            self._accepted.append(_Accepted(commitments, supersedes, reasserts))
            self._store(accepted, first)

    def finish(self, stamp: Stamp, batch: dict[str, Any]) -> None:
        """Append the ingest.batch event and its fact.put events; nothing where no fact was accepted."""
        if not self._accepted:
            return
        self._writer.append([Entry("ingest.batch", {**batch, **self.counts})], stamp)
        for accepted in self._accepted:
            self._put(stamp, accepted)

    def _puts_of(self, table: pa.Table) -> dict[str, list[Put]]:
        """All earlier puts of the keys in the table, in log order, by key."""
        with _registered(self._con, table.select(["key"])):
            rows = self._con.execute(
                "SELECT key, seq, digest FROM texts SEMI JOIN incoming USING (key) ORDER BY seq"
            ).fetchall()
        puts: dict[str, list[Put]] = {}
        for key, seq, digest in rows:
            puts.setdefault(key, []).append(Put(seq, digest))
        return puts

    def _redelivered(self, seq: int) -> bool:
        return any(seq in batch for batch in self._same_file)

    def _store(self, table: pa.Table, first: int) -> None:
        numbered = table.append_column("seq", pa.array(range(first, first + len(table)), pa.int64()))
        with _registered(self._con, numbered.drop_columns(["commitment"])):
            self._con.execute("INSERT INTO texts BY NAME SELECT * FROM incoming")

    def _put(self, stamp: Stamp, accepted: _Accepted) -> None:
        """Append a fact.put event for each: `Writer.append` for one kind and many rows."""
        writer, (before, after) = self._writer, envelope("fact.put", stamp)
        seq, tail, bodies, hashes = writer.seq, writer.tail, [], []
        raw, before_it = accepted.commitments, f'{{"batch":{self.batch},"commitment":"{COMMITMENT_TAG}'
        starts = range(0, len(raw), KEY_BYTES)
        for start, supersedes, reasserts in zip(starts, accepted.supersedes, accepted.reasserts, strict=True):
            body = (
                f'{before_it}{raw[start : start + KEY_BYTES].hex()}",'
                f'"reasserts":{reasserts or "null"},"supersedes":{supersedes or "null"}}}'
            )
            seq += 1
            tail = link(tail, b'%b%b%b%d,"v":1}' % (before, body.encode(), after, seq))
            bodies.append(body)
            hashes.append(tail)
        seqs = pa.array(range(writer.seq + 1, seq + 1), pa.int64())
        writer.seq, writer.tail = seq, tail
        with _registered(self._con, pa.table({"seq": seqs, "body": bodies, "hash": hashes})):
            self._con.execute(
                "INSERT INTO events SELECT seq, ?, 'fact.put', ?, ?, ?, body, hash FROM incoming",
                [naive(stamp.at), stamp.actor, stamp.reason, stamp.job],
            )


@contextmanager
def _registered(con: DuckDBPyConnection, table: pa.Table) -> Iterator[None]:
    """Let SQL see an Arrow table as `incoming`."""
    con.register("incoming", table)
    try:
        yield
    finally:
        con.unregister("incoming")


def _batches_of(con: DuckDBPyConnection, origin_sha256: str | None) -> list[range]:
    """The seqs of the facts that each earlier ingest of the same file put."""
    if origin_sha256 is None:
        return []
    rows = con.execute(
        "SELECT seq, body FROM events WHERE kind = 'ingest.batch' AND contains(body, ?)", [origin_sha256]
    ).fetchall()
    return [range(seq + 1, seq + 1 + json.loads(body)["accepted"]) for seq, body in rows]
