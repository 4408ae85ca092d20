"""Incoming facts made ready for the log before it is locked: records, digests, keys, secrets and commitments.

Rows travel as Arrow tables, some 0.3 KB a fact, and in flat memory.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from editlog.canonical import KEY_BYTES, seal_of
from editlog.draft import Draft, draft_of, seal
from editlog.fact import Fact
from editlog.texts import WORDS

CHUNK, CHUNK_BYTES = 16 * 1024, 16 * 2**20
"""Facts that DuckDB is given at once, and about how many bytes: each statement costs it a millisecond."""
ROWS = 1024
"""Facts that Python holds at once: as many as its processor's cache does."""
SPOOLED = 32 * 2**20

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


class Prepared:
    """Incoming facts with all about them that does not depend on the log, in tables of CHUNK rows or about CHUNK_BYTES.

    They lie in memory up to SPOOLED bytes, then in a nameless file in `directory`; iterating reads them back, as often
    as one likes. `count` is how many there are, `widest` the bytes of the largest ROWS of them. Close it, or use it as
    a context manager.
    """

    def __init__(self, facts: Iterable[Fact | Draft], directory: Path) -> None:
        self.count = self.widest = 0
        self._file = tempfile.SpooledTemporaryFile(SPOOLED, dir=str(directory))  # noqa: SIM115 (closed with this)
        with pa.ipc.new_stream(self._file, _SCHEMA) as sink:
            stream = iter(facts)
            while rows := list(islice(stream, ROWS)):
                table = _table(rows)
                sink.write_table(table)
                self.count += len(rows)
                self.widest = max(self.widest, table.nbytes)

    def __iter__(self) -> Iterator[pa.Table]:
        self._file.seek(0)
        together: list[pa.RecordBatch] = []
        for batch in pa.ipc.open_stream(self._file):
            together.append(batch)
            if len(together) == CHUNK // ROWS or sum(one.nbytes for one in together) >= CHUNK_BYTES:
                yield pa.Table.from_batches(together)
                together = []
        if together:
            yield pa.Table.from_batches(together)

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
