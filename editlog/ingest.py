"""Prepared facts to fact.put events, exactly once, in one transaction for each call.

The lock is held for about ten microseconds a fact, and memory is flat: what DuckDB cannot hold of a transaction it
writes to blocks of its file that count only once that is committed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from editlog.canonical import COMMITMENT_TAG, KEY_BYTES
from editlog.endorsement import Signer, sign_facts
from editlog.events import Entry, Stamp, envelope, link
from editlog.head import Head
from editlog.history import retracted_in
from editlog.judgement import Put, judge
from editlog.prepared import CHUNK, ROWS, Prepared
from editlog.session import Writer
from editlog.texts import naive

_ROW_GROUP = 122_880
_MEMORY = 96 * 2**20
_MEMORY_AN_EVENT = 40
_MEMORY_OF_ANY_MACHINE = 2**30


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


def run(
    writer: Writer,
    tables: Prepared,
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
    with _frugal(writer.con, writer.seq, tables):
        for table in tables:
            work.take(table)
        if not dry_run:
            work.finish(stamp, batch)
    put = work.counts["accepted"] > 0 and not dry_run
    if put and signer:
        sign_facts(writer, work.batch, stamp, signer)
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


@contextmanager
def _frugal(con: DuckDBPyConnection, events: int, tables: Prepared) -> Iterator[None]:
    """Let DuckDB keep no more of a transaction in memory than it must, while the block runs and before it commits.

    It must keep the index of all events, and a row group of either table until that is whole; either takes up to twice
    what Arrow's does. The rest it writes to its file, and may forget.
    """
    needed = _MEMORY + _MEMORY_AN_EVENT * (events + tables.count) + 2 * tables.widest * _ROW_GROUP // ROWS
    con.execute("SET threads = 1")  # a thread that waits for no other: this takes a tenth off an ingest
    con.execute("SET write_buffer_row_group_count = 1")
    if needed < _MEMORY_OF_ANY_MACHINE:
        con.execute(f"SET memory_limit = '{needed}B'")
    yield
    con.execute("RESET memory_limit")


class _Ingest:
    """One ingest inside one transaction: `take` each table, then `finish`."""

    def __init__(self, writer: Writer, *, reassert: bool, origin_sha256: str | None) -> None:
        self._writer, self._con, self._reassert = writer, writer.con, reassert
        self._retracted = retracted_in(writer.con)
        self._same_file = _batches_of(writer.con, origin_sha256)
        self._keys, self._texts, self._events = (_Incoming(writer.con, name) for name in ("keys", "words", "puts"))
        self._commitments = bytearray()  # of the accepted facts, one behind another
        self._ends: dict[int, bytes] = {}  # of the bodies that refer to older facts, by seq
        self.batch = writer.head.seq + 1
        self.next_seq = self.batch + 1
        self.counts = {"accepted": 0, "duplicate": 0, "superseding": 0, "stale_repeat": 0}

    def take(self, table: pa.Table) -> None:
        """Judge the facts of a table in order, and store the words of those that are accepted."""
        dropped = self._judged(table)
        if dropped:
            table = table.filter(pa.array([row not in dropped for row in range(len(table))]))
        if len(table):
            self.counts["accepted"] += len(table)
            self._commitments += b"".join(table["commitment"].to_pylist())
            self._store(table)
            self.next_seq += len(table)

    def _judged(self, table: pa.Table) -> set[int]:
        """The rows of a table that are not accepted. Only a key that was said before leaves anything to judge."""
        keys, digests = table["key"].to_pylist(), table["digest"].to_pylist()
        puts = self._puts_of(table)
        several = {key for key, times in Counter(keys).items() if times > 1}
        dropped: set[int] = set()
        for row in [row for row, key in enumerate(keys) if key in puts or key in several]:
            earlier = puts.setdefault(keys[row], [])
            put = Put(self.next_seq + row - len(dropped), digests[row])
            judgement = judge(
                earlier, put.digest, retracted=self._retracted, redelivered=self._redelivered, reassert=self._reassert
            )
            if judgement.verdict == "accepted":
                earlier.append(put)
                self.counts["superseding"] += judgement.supersedes is not None
                self._ends[put.seq] = _end_of_body(judgement.supersedes, judgement.reasserts)
            else:
                self.counts[judgement.verdict] += 1
                dropped.add(row)
        return dropped

    def finish(self, stamp: Stamp, batch: dict[str, Any]) -> None:
        """Append the ingest.batch event and its fact.put events; nothing where no fact was accepted."""
        if not self._commitments:
            return
        self._writer.append([Entry("ingest.batch", {**batch, **self.counts})], stamp)
        for first in range(self.batch + 1, self.next_seq, CHUNK):
            self._put(stamp, range(first, min(first + CHUNK, self.next_seq)))

    def _puts_of(self, table: pa.Table) -> dict[str, list[Put]]:
        """All earlier puts of the keys in the table, in log order, by key."""
        self._keys.show(table.select(["key"]))
        earlier = "SELECT key, seq, digest FROM texts SEMI JOIN keys USING (key) ORDER BY seq"
        puts: dict[str, list[Put]] = {}
        for key, seq, digest in self._con.execute(earlier).fetchall():
            puts.setdefault(key, []).append(Put(seq, digest))
        return puts

    def _redelivered(self, seq: int) -> bool:
        return any(seq in batch for batch in self._same_file)

    def _store(self, table: pa.Table) -> None:
        seqs = pa.array(range(self.next_seq, self.next_seq + len(table)), pa.int64())
        self._texts.show(table.drop_columns(["commitment"]).append_column("seq", seqs))
        self._con.execute("INSERT INTO texts BY NAME SELECT * FROM words")

    def _put(self, stamp: Stamp, seqs: range) -> None:
        """Append the fact.put events of `seqs`: `Writer.append` for one kind and many rows."""
        writer, around = self._writer, envelope("fact.put", stamp)
        start = seqs.start - self.batch - 1
        committed = self._commitments[start * KEY_BYTES : (start + len(seqs)) * KEY_BYTES].hex().encode()
        begin = b'{"batch":%d,"commitment":"%b' % (self.batch, COMMITMENT_TAG.encode())
        bodies, hashes = [], []
        for seq, place in zip(seqs, range(0, len(committed), 2 * KEY_BYTES), strict=True):
            body = begin + committed[place : place + 2 * KEY_BYTES] + self._ends.get(seq, _ALONE)
            writer.tail = link(writer.tail, around.event(seq, body))
            bodies.append(body)
            hashes.append(writer.tail)
        writer.seq = seqs[-1]
        columns = {"seq": pa.array(seqs, pa.int64()), "body": pa.array(bodies, pa.string()), "hash": hashes}
        self._events.show(pa.table(columns))
        self._con.execute(
            "INSERT INTO events SELECT seq, ?, 'fact.put', ?, ?, ?, body, hash FROM puts",
            [naive(stamp.at), stamp.actor, stamp.reason, stamp.job],
        )


def _end_of_body(supersedes: int | None, reasserts: int | None) -> bytes:
    """What stands behind the commitment in the body of a fact.put."""
    return f'","reasserts":{reasserts or "null"},"supersedes":{supersedes or "null"}}}'.encode()


_ALONE = _end_of_body(None, None)


class _Incoming:
    """An Arrow table as SQL sees it, under one name; `show` puts another of the same columns in its place.

    DuckDB keeps whatever was registered until the transaction ends, so this is registered and not the tables.
    """

    def __init__(self, con: DuckDBPyConnection, name: str) -> None:
        self._con, self._name = con, name
        self._table = pa.table({})

    def show(self, table: pa.Table) -> None:
        """Let SQL see this table from now on."""
        known, self._table = self._table.column_names, table
        if not known:
            self._con.register(self._name, self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table, as Arrow's PyCapsule interface has it."""
        return self._table.__arrow_c_stream__(requested_schema)


def _batches_of(con: DuckDBPyConnection, origin_sha256: str | None) -> list[range]:
    """The seqs of the facts that each earlier ingest of the same file put."""
    if origin_sha256 is None:
        return []
    rows = con.execute(
        "SELECT seq, body FROM events WHERE kind = 'ingest.batch' AND contains(body, ?)", [origin_sha256]
    ).fetchall()
    return [range(seq + 1, seq + 1 + json.loads(body)["accepted"]) for seq, body in rows]
