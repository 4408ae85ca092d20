"""Ingest: a file or stream of records into the log, the rejects into a file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from editlog.endorsement import Signer
from editlog.events import moment
from editlog.fact import Fact
from editlog.formats import FactReader, read_facts
from editlog.lines import Reject, write_rejects
from editlog.store import EditLog, utc_now
from lifelong.layout import Layout
from lifelong.results import Receipt


@dataclass
class _Sorted:
    """Passes the facts of a reader on and keeps its rejects."""

    reader: FactReader
    rejects: list[Reject]

    def facts(self) -> Iterator[Fact]:
        """The good records."""
        for item in self.reader:
            if isinstance(item, Reject):
                self.rejects.append(item)
            else:
                yield item


def ingest(
    layout: Layout,
    log: EditLog,
    source: str | Path | BinaryIO,
    *,
    limit: int | None,
    source_name: str | None,
    author: str | None,
    reassert: bool,
    signer: Signer | None,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Receipt:
    """Read, validate and append; see `Workspace.ingest`."""
    reader = read_facts(source, limit=limit, default_source=source_name, default_author=author)
    incoming = _Sorted(reader, [])
    facts = list(incoming.facts())
    receipt = log.ingest(
        facts,
        actor=actor,
        reason=reason,
        origin=Path(source).name if isinstance(source, str | Path) and str(source) != "-" else None,
        origin_sha256=reader.sha256,
        rejected=len(incoming.rejects),
        converted=reader.converted,
        reassert=reassert,
        signer=signer,
        dry_run=dry_run,
    )
    rejects_file = None
    if incoming.rejects and not dry_run:
        stamp = moment(utc_now()).replace(":", "").replace("-", "")
        rejects_file = layout.rejects / f"{stamp}.jsonl"
        rejects_file.parent.mkdir(exist_ok=True)
        write_rejects(rejects_file, incoming.rejects)
    return Receipt(
        accepted=receipt.accepted,
        duplicate=receipt.duplicate,
        superseding=receipt.superseding,
        stale_repeat=receipt.stale_repeat,
        rejected=receipt.rejected,
        converted=receipt.converted,
        batch=None if receipt.batch is None else f"b{receipt.batch}",
        rejects_file=str(rejects_file) if rejects_file else None,
        dry_run=dry_run,
    )
