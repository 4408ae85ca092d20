"""Recovery: the way back from a damaged log, which never pretends.

What is damaged is kept, to the byte, in a dated folder under `evidence/`. A new database is built from what verifies:
the damaged one itself, then the replica, then an export, event by event. Its last event is `log.recovered`, which says
what could not be brought back. Only when it is complete and durable does it take the damaged one's place, in the order
that any write has (HEAD.next, the database, HEAD), so a recovery that is killed is done by calling it again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from editlog import durable, head, length, schema, session
from editlog.canonical import canonical_json, tag
from editlog.errors import IntegrityError, UsageError
from editlog.events import Entry, Stamp, body_of, encode, link, moment
from editlog.fact import Fact, record_digest
from editlog.head import Head
from editlog.history import EVENT_COLUMNS
from editlog.salvage import WINDOW, Database, Export, Row, Salvage, Source, Words
from editlog.texts import WORDS, more_of, naive
from editlog.verify import Finding, inspect

EVIDENCE = "evidence"
_FILES = (session.DATABASE, f"{session.DATABASE}.wal", head.HEAD, head.NEXT, length.LENGTH)
_MAX_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery found and did; nothing was done where `findings` is empty, or on a dry run.

    `kept` is the last event that was brought back, `sources` how many came from where. `lost` are the first and last
    event that HEAD acknowledged and nothing has any more; `end_known` is False where HEAD could not be read, so that
    nobody can say whether more was acknowledged. `lost_texts` are the facts whose event is there, but not their
    words. `evidence` is the folder that holds the damaged files.
    """

    findings: list[Finding]
    kept: int
    sources: dict[str, int]
    lost: tuple[int, int] | None
    lost_texts: list[int]
    end_known: bool
    evidence: str | None
    head: Head | None

    @property
    def complete(self) -> bool:
        """Whether nothing is lost, for all that can be known."""
        return self.lost is None and not self.lost_texts and self.end_known

    def to_dict(self) -> dict[str, Any]:
        """The recovery as plain JSON data."""
        return {**asdict(self), "complete": self.complete}


def recover(
    directory: Path,
    sources: Sequence[Source],
    *,
    export: Path | None,
    stamp: Callable[[datetime | None], Stamp],
    dry_run: bool,
) -> Recovery:
    """Recover the log in `directory`; the caller holds it alone. See `EditLog.recover`."""
    if not any((directory / name).exists() for name in _FILES):
        raise UsageError(f"there is no edit log in {directory}, nor a part of one")
    if export is not None and not export.is_file():
        raise UsageError(f"cannot open {export}: there is no such file")
    findings = _inspect(directory)
    if not findings:
        return _NOTHING
    scratch = durable.temporary_beside(directory / "recover")
    scratch.mkdir()
    try:
        own = _own(directory, scratch)
        if own and not dry_run and _finish(directory, own[-1]):
            return _NOTHING
        exported = [] if export is None else [Export(export)]
        known = _head_in(directory, head.HEAD)
        salvage = Salvage([*own, *sources, *exported], known.workspace if known else None)
        return _Rebuild(directory, scratch, salvage).run(findings, stamp, dry_run)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


_NOTHING = Recovery([], 0, {}, None, [], True, None, None)


def _inspect(directory: Path) -> list[Finding]:
    """What `verify` finds; an older log, which lacks nothing but migrations, is not damaged."""
    try:
        with session.connected(directory / session.DATABASE, read_only=True) as con:
            try:
                schema.check(con)
            except schema.Outdated:
                return [finding for finding in inspect(directory, con) if finding.code != "guard"]
            return inspect(directory, con)
    except IntegrityError as error:
        return [Finding(None, "database", str(error))]


def _own(directory: Path, scratch: Path) -> list[Database]:
    """The log's database with its write-ahead log, where the two can be opened together, and without."""
    database, alone = directory / session.DATABASE, scratch / session.DATABASE
    if not database.exists():
        return []
    _link(database, alone)
    return [Database(database), Database(alone)]


def _finish(directory: Path, alone: Database) -> bool:
    """Finish a recovery that was killed after its database was in place: True where that is all there was to do."""
    with suppress(IntegrityError):
        announced = head.read(directory, head.NEXT)
        last = announced and alone.events(announced.seq, announced.seq).get(announced.seq)
        if announced and last and last.kind == "log.recovered" and tag(last.hash) == announced.hash:
            (directory / f"{session.DATABASE}.wal").unlink(missing_ok=True)
            head.promote(directory)
            return True
    return False


class _Rebuild:
    """One recovery: salvage into a new database, keep the evidence, put the new one in place."""

    def __init__(self, directory: Path, scratch: Path, salvage: Salvage) -> None:
        self._directory, self._salvage = directory, salvage
        self._fresh = scratch / "new.duckdb"
        self._lost_texts: list[int] = []

    def run(self, findings: list[Finding], stamp: Callable[[datetime | None], Stamp], dry_run: bool) -> Recovery:
        """Everything, in order; a dry run ends before anything outside the scratch folder is touched."""
        known = _head_in(self._directory, head.HEAD)
        with session.connected(self._fresh, read_only=False) as con:
            schema.create(con, naive(stamp(None).at))
            workspace = self._fill(con)
            who = stamp(self._salvage.last_moment)
            found = self._weigh(con, findings, known, who)
            if dry_run:
                return found
            tail = self._say(con, found, who)
            heads = (known, _head_in(self._directory, head.NEXT))
            fresh = Head(workspace, found.kept + 1, tag(tail), 1 + max((one.epoch for one in heads if one), default=1))
            con.execute("INSERT INTO writer VALUES (?)", [fresh.epoch])
        self._keep(found)
        self._put_in_place(fresh)
        return replace(found, head=fresh)

    def _weigh(self, con: DuckDBPyConnection, findings: list[Finding], known: Head | None, who: Stamp) -> Recovery:
        """What was brought back, against what is known to have been there."""
        kept = self._salvage.kept
        end = known.seq if known else _noted(self._directory)
        stamped = moment(who.at).replace(":", "").replace("-", "")
        return Recovery(
            findings=findings,
            kept=kept,
            sources=dict(self._salvage.brought),
            lost=(kept + 1, end) if end is not None and end > kept else None,
            lost_texts=self._lost_texts,
            end_known=known is not None and (known.seq > kept or _hash_of(con, known.seq) == known.hash),
            evidence=str(self._directory / EVIDENCE / stamped),
            head=None,
        )

    def _fill(self, con: DuckDBPyConnection) -> str:
        """Write every event and text that verifies; returns the workspace. Raises where not even event 1 does."""
        workspace = None
        for rows in self._salvage.chain():
            workspace = workspace or str(json.loads(rows[0].body)["workspace"])
            _insert(con, "events", [row._asdict() for row in rows])
        if workspace is None:
            raise IntegrityError(
                f"nothing of the log in {self._directory} verifies: give an export with --from, or put back a copy of "
                "the whole directory; nothing was changed"
            )
        of_facts = f"SELECT {EVENT_COLUMNS} FROM events WHERE kind = 'fact.put' AND seq BETWEEN ? AND ? ORDER BY seq"
        for first in range(1, self._salvage.kept + 1, WINDOW):
            rows = [Row(*row) for row in con.execute(of_facts, [first, first + WINDOW - 1]).fetchall()]
            self._fill_texts(con, rows)
        return workspace

    def _fill_texts(self, con: DuckDBPyConnection, puts: Sequence[Row]) -> None:
        """Write the words of these facts; those that nothing has are lost, but for what an earlier recovery told of."""
        rows = []
        for put, words in self._salvage.words_of(puts):
            row = words and _text(words)
            if row:
                rows.append({"seq": put.seq, **row})
            elif put.seq not in self._salvage.excused:
                self._lost_texts.append(put.seq)
        if rows:
            _insert(con, "texts", rows)

    def _say(self, con: DuckDBPyConnection, found: Recovery, stamp: Stamp) -> bytes:
        """Append the event that tells of the recovery, and return its hash."""
        told = {
            "kept": found.kept,
            "sources": found.sources,
            "lost": list(found.lost) if found.lost else None,
            "lost_texts": found.lost_texts,
            "end_known": found.end_known,
            "evidence": Path(found.evidence or "").name,
            "findings": [{"seq": one.seq, "code": one.code} for one in found.findings[:_MAX_FINDINGS]],
        }
        seq, kind, body = found.kept + 1, "log.recovered", body_of(Entry("log.recovered", told))
        chained = link(self._salvage.tail, encode(seq, kind, stamp, body))
        row = Row(seq, naive(stamp.at), kind, stamp.actor, stamp.reason, stamp.job, body.decode(), chained)
        _insert(con, "events", [row._asdict()])
        return chained

    def _keep(self, found: Recovery) -> None:
        """Keep the damaged files and what was found, durably, before anything is put in their place."""
        folder = Path(found.evidence or "")
        temporary = durable.temporary_beside(folder)
        durable.make_directory(temporary)
        for file in _FILES:
            if (self._directory / file).exists():
                _link(self._directory / file, temporary / file)
                durable.sync(temporary / file, point="evidence")
        durable.write(temporary / "recovery.json", canonical_json(found.to_dict()) + b"\n", point="evidence.report")
        durable.sync_directory(temporary, point="evidence.inside")
        durable.rename(temporary, folder, point="evidence")
        durable.sync_directory(folder.parent, point="evidence")

    def _put_in_place(self, fresh: Head) -> None:
        durable.sync_directory(self._fresh.parent, point="recover.inside")
        length.withdraw(self._directory)
        head.announce(self._directory, fresh)
        durable.rename(self._fresh, self._directory / session.DATABASE, point="recover")
        with suppress(FileNotFoundError):
            (self._directory / f"{session.DATABASE}.wal").unlink()
        head.promote(self._directory)
        length.note(self._directory, self._directory / session.DATABASE, fresh.seq)


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _insert(con: DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    con.register("salvaged", pa.Table.from_pylist(rows))
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM salvaged")
    con.unregister("salvaged")


def _text(words: Words) -> dict[str, Any] | None:
    """The row of the side table for a record that its event committed to; None for one that is no fact any more."""
    try:
        record, fact = words.record, Fact.model_validate(words.record)
    except ValueError:
        return None
    probes = record.get("probes")
    return {
        "secret": words.secret,
        "digest": record_digest(record),
        "key": fact.key,
        **{name: record.get(name) for name in WORDS},
        "valid_from": fact.valid_from and naive(fact.valid_from),
        "valid_to": fact.valid_to and naive(fact.valid_to),
        "more": more_of(record),
        "probes": probes and canonical_json(probes).decode(),
    }


def _head_in(directory: Path, name: str) -> Head | None:
    """HEAD or HEAD.next; None where it is missing or damaged."""
    with suppress(IntegrityError):
        return head.read(directory, name)
    return None


def _noted(directory: Path) -> int | None:
    """The last event when the database was last closed, by LENGTH: what there is to go by without a HEAD."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((directory / length.LENGTH).read_text())["seq"])
    return None


def _hash_of(con: DuckDBPyConnection, seq: int) -> str | None:
    rows = con.execute("SELECT hash FROM events WHERE seq = ?", [seq]).fetchall()
    return tag(rows[0][0]) if rows else None
