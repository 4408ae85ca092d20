"""The Merkle tree over one log's events: its root at a position, and the proof that an event is in it.

Roots come from an edge that is kept beside the log in `TREE` and grows with it, so that telling one costs as much as
there are new events. The edge is a cache: it is only used where the event it ends at has the hash noted with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from editlog import durable, merkle
from editlog.canonical import tag
from editlog.errors import UsageError
from editlog.events import Stamp, encode
from editlog.history import EVENT_COLUMNS
from editlog.merkle import Edge
from editlog.session import reading
from editlog.texts import COLUMNS, record_of_row

TREE = "TREE"
PAGE = 8192


@dataclass(frozen=True, slots=True)
class Proof:
    """That an event is the one at `event["seq"]` of the log whose first `size` events have the Merkle root `root`.

    `path` are the tagged hashes from the leaf's sibling upwards. `record` and `secret` (hex) open the commitment of a
    fact.put event; None where they were not asked for, or are erased.
    """

    workspace: str
    size: int
    root: str
    path: list[str]
    event: dict[str, Any]
    record: dict[str, Any] | None
    secret: str | None

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain JSON data."""
        opened = {} if self.record is None else {"record": self.record, "secret": self.secret}
        return {
            "v": 1,
            "workspace": self.workspace,
            "size": self.size,
            "root": self.root,
            "path": self.path,
            "event": self.event,
            **opened,
        }


def event_bytes(row: Sequence[Any]) -> bytes:
    """The canonical JSON of an event, from its row (EVENT_COLUMNS)."""
    seq, at, kind, actor, reason, job, body, _ = row
    return encode(seq, kind, Stamp(at, actor, reason, job), body.encode())


def event_rows(con: DuckDBPyConnection, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the events `first` to `last`, in order."""
    query = f"SELECT {EVENT_COLUMNS} FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq"
    for start in range(first, last + 1, PAGE):
        yield from con.execute(query, [start, min(start + PAGE - 1, last)]).fetchall()


def root_at(directory: Path, seq: int, *, timeout: float) -> bytes:
    """The Merkle root over events 1 to `seq`; keeps the edge for the next time."""
    with reading(directory, timeout=timeout) as (con, _):
        edge = _kept_edge(directory, con, seq)
        chained = None
        for row in event_rows(con, edge.size + 1, seq):
            edge.add(merkle.leaf(event_bytes(row)))
            chained = row[-1]
    if chained is not None:
        _keep_edge(directory, edge, chained)
    return edge.root()


def prove(directory: Path, seq: int, size: int | None, *, with_texts: bool, timeout: float) -> Proof:
    """The proof of event `seq` in the tree of the first `size` events (None: of all there are)."""
    with reading(directory, timeout=timeout) as (con, position):
        size = position.seq if size is None else size
        if not 1 <= seq <= size <= position.seq:
            raise UsageError(f"event {seq} cannot be proven at event {size}: the log has {position.seq} events")
        leaves = []
        for row in event_rows(con, 1, size):
            raw = event_bytes(row)
            leaves.append(merkle.leaf(raw))
            if row[0] == seq:
                event = raw
        columns = f"secret, probes, {', '.join(COLUMNS)}"
        texts = con.execute(f"SELECT {columns} FROM texts WHERE seq = ?", [seq]).fetchall() if with_texts else []
    path = merkle.inclusion(leaves, seq - 1)
    return Proof(
        workspace=position.workspace,
        size=size,
        root=tag(merkle.root_of(leaves[seq - 1], seq - 1, size, path)),
        path=[tag(hashed) for hashed in path],
        event=json.loads(event),
        record=record_of_row(texts[0][2:], texts[0][1]) if texts else None,
        secret=texts[0][0].hex() if texts else None,
    )


def _kept_edge(directory: Path, con: DuckDBPyConnection, seq: int) -> Edge:
    """The edge that was kept, where it is of this log and not beyond `seq`; else that of an empty tree."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((directory / TREE).read_text(encoding="utf-8"))
        edge = Edge(int(kept["size"]), [bytes.fromhex(peak) for peak in kept["peaks"]])
        found = con.execute("SELECT hash FROM events WHERE seq = ?", [edge.size]).fetchall()
        if edge.size <= seq and found == [(bytes.fromhex(kept["hash"]),)] and len(edge.peaks) == edge.size.bit_count():
            return edge
    return Edge()


def _keep_edge(directory: Path, edge: Edge, chained: bytes) -> None:
    with suppress(OSError):
        fresh = durable.temporary_beside(directory / TREE)
        kept = {"size": edge.size, "hash": chained.hex(), "peaks": [peak.hex() for peak in edge.peaks]}
        fresh.write_text(json.dumps(kept) + "\n", encoding="utf-8")
        fresh.replace(directory / TREE)
