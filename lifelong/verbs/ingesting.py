"""Ingest: a file or stream of records into the log, the rejects into a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from editlog.draft import Draft
from editlog.durable import temporary_beside
from editlog.endorsement import Signer
from editlog.errors import Busy, UsageError
from editlog.events import moment
from editlog.formats import read_facts
from editlog.rejects import Reject
from editlog.store import EditLog, utc_now
from lifelong.hub import opened
from lifelong.jobs.progress import Progress
from lifelong.layout import Layout
from lifelong.results import Receipt

_Item = TypeVar("_Item")

TOLD_EVERY = 4096
"""Records between two words to whoever is told how far an ingest is."""


class _Rejects:
    """The rejects among a reader's records, into a file that has its name only once `keep` is called."""

    def __init__(self, layout: Layout) -> None:
        stamp = moment(utc_now()).replace(":", "").replace("-", "")
        self.path = layout.rejects / f"{stamp}.jsonl"
        self.count = 0
        self._file: BinaryIO | None = None
        self._temporary = temporary_beside(self.path)

    def sorted_out(self, items: Iterable[Draft | Reject]) -> Iterator[Draft]:
        """The good records of `items`; the others are written down."""
        for item in items:
            if isinstance(item, Reject):
                self.count += 1
                self._add(item)
            else:
                yield item

    def _add(self, reject: Reject) -> None:
        if self._file is None:
            self.path.parent.mkdir(exist_ok=True)
            self._file = self._temporary.open("wb")
        self._file.write(reject.to_line())

    def keep(self) -> Path | None:
        """Give the file its name; None where nothing was rejected."""
        if self._file is None:
            return None
        self._file.close()
        self._temporary.rename(self.path)
        return self.path

    def drop(self) -> None:
        """Leave nothing behind that was not kept."""
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)


def _counted(items: Iterable[_Item], progress: Progress) -> Iterator[_Item]:
    told = count = 0
    for count, item in enumerate(items, start=1):
        if count - told == TOLD_EVERY:
            progress.advance(count - told)
            told = count
        yield item
    progress.advance(count - told)


def log_for(open_log: Callable[[], EditLog], layout: Layout, *, spool: bool) -> EditLog:
    """The log to ingest into; where it is held for too long and `spool` is set, one that tries no second time."""
    try:
        return open_log()
    except Busy:
        if not spool:
            raise
        return EditLog(layout.log, timeout=0)


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
    spool: bool,
    actor: str,
    reason: str | None,
    dry_run: bool,
    progress: Progress,
) -> Receipt:
    """Read, validate and append; see `Workspace.ingest`."""
    if spool and signer:
        raise UsageError("a signed ingest cannot be spooled: it is signed when it is written; leave out one of the two")
    reader = read_facts(opened(source, limit=limit), limit=limit, default_source=source_name, default_author=author)
    rejects = _Rejects(layout)
    try:
        progress.stage("read", limit or 0)
        with log.prepare(rejects.sorted_out(_counted(reader.drafts(), progress))) as prepared:
            progress.stage("append", prepared.count)
            call: dict[str, Any] = {
                "actor": actor,
                "reason": reason,
                "origin": Path(source).name if isinstance(source, str | Path) and str(source) != "-" else None,
                "origin_sha256": reader.sha256,
                "rejected": rejects.count,
                "converted": reader.converted,
                "reassert": reassert,
            }
            spooled = receipt = None
            try:
                receipt = log.ingest(prepared, signer=signer, dry_run=dry_run, **call)
            except Busy:
                if not spool or dry_run:
                    raise
                spooled = log.spool(prepared, **call)
        progress.advance(prepared.count)
        rejects_file = None if dry_run else rejects.keep()
    finally:
        rejects.drop()
    return Receipt(
        accepted=receipt.accepted if receipt else 0,
        duplicate=receipt.duplicate if receipt else 0,
        superseding=receipt.superseding if receipt else 0,
        stale_repeat=receipt.stale_repeat if receipt else 0,
        rejected=rejects.count,
        converted=reader.converted,
        batch=None if receipt is None or receipt.batch is None else f"b{receipt.batch}",
        rejects_file=str(rejects_file) if rejects_file else None,
        spooled=spooled,
        dry_run=dry_run,
    )
