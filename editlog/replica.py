"""The replica: the readers' own copy of the log, so that whoever only asks never waits for a writer.

    refresh(log, Path("ws/log/replica"), now)            # what writers do once their transaction is acknowledged
    replica = Replica.open(Path("ws/log/replica"))
    replica.facts(as_of="job-3")                         # all that can be asked of the log itself
    replica.connect().sql("SELECT kind, count(*) FROM events GROUP BY kind")

It is a cache: made of the log, thrown away and made again at will, never a source of truth. A refresh reads what is
new since the last one and writes the tail (see `segments`); full segments are written once. The exception is a log
whose past was changed by right, by a redaction or a recovery: then everything is written anew, and no old file stays.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from editlog import durable, session
from editlog.canonical import untag
from editlog.errors import IntegrityError, UsageError
from editlog.head import Head
from editlog.lock import locked
from editlog.manifest import Manifest, publish, read_manifest
from editlog.reader import Reader
from editlog.segments import LARGE, TABLES, Part, Segment, Span, read_span, spans, superseded, write_segment
from editlog.store import utc_now

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from editlog.session import Clock

GRACE = timedelta(seconds=60)
"""How long a file that is not needed any more is kept for readers that are about to open it."""

_PATIENCE = 2.0
_log = logging.getLogger("lifelong.replica")
_OURS = ("events-", "texts-", ".events-", ".texts-", ".MANIFEST.")
# What they destroy or put back lies before them in the log.
_CHANGES_THE_PAST = ("fact.redacted", "log.recovered")


def refresh(log: Reader, directory: Path, now: datetime) -> Manifest:
    """Bring the replica in `directory` to where the log stands, and return its manifest.

    Costs the events that are new and less than 2,000 others, however long the log is. The log is held, shared, only
    while rows are read, and never for more than 50,000 events at a time. Raises Busy where another process keeps
    refreshing; the errors of the log and the disk. A replica that is damaged, or of another log, is made anew.
    """
    return _bring(log, directory, now, keep=True)


def rebuild(log: Reader, directory: Path, now: datetime) -> Manifest:
    """Make the replica anew: every segment is written again from the log, and no file of the old one is left."""
    return _bring(log, directory, now, keep=False)


def warn(error: Exception) -> None:
    """Warn that readers see an older position; nobody has lost anything."""
    _log.warning(
        "Warning: the replica could not be refreshed (%s); what was done is safe, the next write tries again", error
    )


def _bring(log: Reader, directory: Path, now: datetime, *, keep: bool) -> Manifest:
    durable.make_directory(directory)
    with locked(directory, shared=False, timeout=_PATIENCE):
        manifest = _Refresh(log, directory, _known(directory) if keep else None).run(now)
        _remove_all_but(directory, manifest.names | manifest.superseded.keys())
    return manifest


def _known(directory: Path) -> Manifest | None:
    try:
        return read_manifest(directory)
    except (UsageError, IntegrityError):
        return None


class _Refresh:
    """One refresh, by the one process that holds the replica's lock; `before` is what can be built upon, if any."""

    def __init__(self, log: Reader, directory: Path, before: Manifest | None) -> None:
        self._log, self._directory, self._before = log, directory, before
        self._segments: dict[Span, Segment] = {}

    def run(self, now: datetime) -> Manifest:
        """Copy what is missing, publish, and return the manifest; the same one where nothing is missing."""
        with self._log.visit() as (con, head):
            self._keep(con, head)
            missing = deque(span for span in spans(head.seq) if span not in self._segments)
            if self._before is not None and not missing and self._before.head == head:
                return self._before
            rows = _take(con, missing)
        while rows:
            for span, tables in rows:
                self._segments[span] = write_segment(self._directory, span, tables)
            if not missing:
                break
            with self._log.visit() as (con, _):
                rows = _take(con, missing)
        durable.sync_directory(self._directory, point="replica.segments")
        manifest = self._manifest(head, now)
        publish(self._directory, manifest)
        return manifest

    def _keep(self, con: DuckDBPyConnection, head: Head) -> None:
        """Keep the segments that still say what the log says; forget what was before where the past has changed."""
        if self._before is None or not _continues(con, head, self._before):
            self._before = None
            return
        for segment in self._before.segments:
            if all(_length(self._directory / part.name) == part.length for part in segment.parts):
                self._segments[segment.span] = segment

    def _manifest(self, head: Head, now: datetime) -> Manifest:
        manifest = Manifest(
            workspace=head.workspace,
            seq=head.seq,
            hash=head.hash,
            epoch=head.epoch,
            published_at=now,
            segments=tuple(self._segments[span] for span in spans(head.seq)),
        )
        if self._before is None:
            return manifest
        kept = {name: at for name, at in self._before.superseded.items() if now - at < GRACE}
        kept |= dict.fromkeys(self._before.names, now)
        return manifest.model_copy(update={"superseded": {n: at for n, at in kept.items() if n not in manifest.names}})


def _continues(con: DuckDBPyConnection, head: Head, before: Manifest) -> bool:
    """Whether the log goes on from where the replica stands, its past untouched."""
    if head.workspace != before.workspace or head.seq < before.seq:
        return False
    row = con.execute("SELECT hash FROM events WHERE seq = ?", [before.seq]).fetchone()
    changed = con.execute(
        "SELECT 1 FROM events WHERE seq > ? AND kind IN (SELECT unnest(?::VARCHAR[])) LIMIT 1",
        [before.seq, list(_CHANGES_THE_PAST)],
    ).fetchone()
    return row == (untag(before.hash),) and changed is None


def _take(con: DuckDBPyConnection, missing: deque[Span]) -> list[tuple[Span, tuple[pa.Table, pa.Table]]]:
    """Read the rows of the next missing spans, of LARGE events together at the most."""
    taken, room = [], LARGE
    while missing and missing[0].size <= room:
        span = missing.popleft()
        taken.append((span, read_span(con, span)))
        room -= span.size
    return taken


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _remove_all_but(directory: Path, names: Collection[str]) -> None:
    """Remove what refreshes have left: files nobody needs any more, and those of a refresh that was killed."""
    for path in directory.iterdir():
        if path.name.startswith(_OURS) and path.name not in names:
            path.unlink()


class Replica(Reader):
    """The replica at one position; it goes on showing that one, whatever is published later.

    Keep it for a question, not for a day: after GRACE, or once a redaction has made the replica anew, its files may
    be gone, and what was not loaded by then raises Busy (exit 75).
    """

    def __init__(self, directory: Path, manifest: Manifest, clock: Clock = utc_now) -> None:
        self.directory, self.manifest, self._clock = directory, manifest, clock

    @classmethod
    def open(cls, directory: Path, *, verify: bool = False, clock: Clock = utc_now) -> Replica:
        """The replica published last; raises UsageError where there is none, IntegrityError where it is damaged.

        What is loaded into memory is always checked against the manifest; `verify` reads and checks every segment.
        """
        replica = cls(Path(directory), read_manifest(Path(directory)), clock)
        if verify:
            for segment in replica.manifest.segments:
                for part in segment.parts:
                    part.read(replica.directory)
        return replica

    def connect(self) -> DuckDBPyConnection:
        """A database in memory with `events` and `texts` as the log has them; it reaches no file but the segments.

        Large segments are views on their files, which are never superseded; everything else is loaded. The newest
        come first: who wants the latest events then reads little else.
        """
        newest_first = self.manifest.segments[::-1]
        large = [segment for segment in newest_first if segment.span.is_large]
        rest = [segment for segment in newest_first if not segment.span.is_large]
        paths = [[self.directory / segment.parts[table].name for segment in large] for table in range(len(TABLES))]
        con = session.in_memory([path for of_table in paths for path in of_table])
        for table, (name, of_table) in enumerate(zip(TABLES, paths, strict=True)):
            sources = []
            if rest:
                self._load(con, f"recent_{name}", [segment.parts[table] for segment in rest])
                sources.append(f"SELECT * FROM recent_{name}")
            if of_table:
                files = ", ".join(session.literal(str(path)) for path in of_table)
                sources.append(f"SELECT * FROM read_parquet([{files}], hive_partitioning = false)")
            con.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(sources)}")
        return con

    def _load(self, con: DuckDBPyConnection, name: str, parts: list[Part]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        read = [pq.read_table(pa.BufferReader(part.read(self.directory))) for part in parts]
        con.register("incoming", pa.concat_tables(read))
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        con.unregister("incoming")

    @cached_property
    def _connection(self) -> DuckDBPyConnection:
        return self.connect()

    @contextmanager
    def visit(self) -> Iterator[tuple[DuckDBPyConnection, Head]]:
        """The tables as `connect` gives them, and the position; see `Reader.visit`."""
        try:
            with session.told(self.directory, read_only=True), self._connection.cursor() as con:
                yield con, self.manifest.head
        except IntegrityError:
            if all((self.directory / name).exists() for name in self.manifest.names):
                raise
            raise superseded(self.directory) from None
