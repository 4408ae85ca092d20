"""Hold a log against the heads that its witness was told: what no check of the log alone can see.

A log and its HEAD that were put back to an earlier day together, or a chain that was hashed anew from some event on,
verify by themselves. They do not have the events that the witness was told of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from editlog import merkle
from editlog.canonical import tag
from editlog.errors import IntegrityError, LifelongError
from editlog.merkle import Edge
from editlog.session import tail_of, unchecked
from editlog.tree import event_bytes, event_rows
from editlog.verify import Finding
from editlog.witness import TreeHead, moment_of, read_heads


def verify_against(directory: Path, witness: Path, *, key: str | None, timeout: float) -> list[Finding]:
    """What the log and the witness's file disagree on, in log order; `key` is the public key that must have signed.

    Without a key, signatures are not looked at. Raises UsageError where the file cannot be read.
    """
    findings, heads = _readable(witness, key)
    try:
        with unchecked(directory, timeout=timeout) as con:
            return [*findings, *_disagreements(con, sorted(heads, key=lambda head: head.seq))]
    except IntegrityError as error:
        return [*findings, Finding(None, "database", str(error))]


def _readable(witness: Path, key: str | None) -> tuple[list[Finding], list[TreeHead]]:
    """The heads to believe, and a finding for each line that is none or lacks the signature."""
    findings, heads = [], []
    for number, head in read_heads(witness):
        if isinstance(head, str):
            findings.append(Finding(None, "witness", f"line {number} of {witness} is no tree head ({head})"))
        elif key is not None and not head.is_signed_by(key):
            problem = f"line {number} of {witness} is not signed by {key}"
            findings.append(Finding(head.seq, "witness", problem))
        else:
            heads.append(head)
    if not heads and not findings:
        findings.append(Finding(None, "witness", f"{witness} has no tree head: nothing can be held against it"))
    return findings, heads


def _disagreements(con: DuckDBPyConnection, heads: list[TreeHead]) -> Iterator[Finding]:
    """At most one finding for a log that is too short, one for a workspace, one for a divergence: the first."""
    workspace, end = _workspace(con), (tail_of(con) or (0, ""))[0]
    strangers = [head for head in heads if head.workspace != workspace]
    if strangers:
        told = f"the witness was told of the workspace {strangers[0].workspace}, this log is of {workspace}"
        yield Finding(1, "witness", told)
    own = [head for head in heads if head.workspace == workspace]
    yield from _divergence(con, [head for head in own if head.seq <= end])
    beyond = [head for head in own if head.seq > end]
    if beyond:
        first, last = beyond[0], beyond[-1]
        told = (
            f"the log ends at event {end}, but the witness was told of event {last.seq} at {moment_of(last)}: the log "
            f"was put back to an earlier state after {moment_of(first)}"
        )
        yield Finding(end + 1, "witness", told)


def _divergence(con: DuckDBPyConnection, heads: list[TreeHead]) -> Iterator[Finding]:
    """The first head that the log does not have; everything up to the one before it is as the witness was told."""
    edge, agreed = Edge(), 0
    for head in heads:
        chained = None
        for row in event_rows(con, edge.size + 1, head.seq):
            _add(edge, row)
        for (raw,) in con.execute("SELECT hash FROM events WHERE seq = ?", [head.seq]).fetchall():
            chained = tag(raw)
        if chained != head.hash:
            where = f"event {head.seq}" if agreed + 1 == head.seq else f"one of the events {agreed + 1} to {head.seq}"
            told = f"{where} is not the one that the witness was told at {moment_of(head)}: the log was written anew"
            yield Finding(agreed + 1, "witness", told)
            return
        if tag(edge.root()) != head.root:
            told = f"the witness was told another Merkle root at event {head.seq}, though its hash is the same"
            yield Finding(head.seq, "witness", told)
            return
        agreed = head.seq


def _workspace(con: DuckDBPyConnection) -> str | None:
    """The workspace that event 1 names; None where it is none that does."""
    rows = con.execute("SELECT body FROM events WHERE seq = 1").fetchall()
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(rows[0][0])["workspace"]) if rows else None
    return None


def _add(edge: Edge, row: tuple[Any, ...]) -> None:
    """Add an event to the tree; one that is no event any more is a leaf as well, of what it says."""
    try:
        edge.add(merkle.leaf(event_bytes(row)))
    except LifelongError:
        edge.add(merkle.leaf(repr(row).encode()))
