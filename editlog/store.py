"""EditLog: everything that can be done with a log. Opens nothing but for the moment of each call.

    log = EditLog.create(Path("ws/log"), actor="ada")
    receipt = log.ingest([Fact(prompt="The capital of Australia is", target="Canberra")], actor="ada")
    log.facts()[0].status                      # 'pending'

Any number of EditLog objects, threads and processes may use one log. Every call sees one consistent position.
A call that writes returns once that is durable; it raises Busy (exit 75) where the log stays held for
`timeout` seconds, and IntegrityError (exit 6) where what lies on disk is not what was acknowledged.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from editlog import durable, endorsement, export, head, retraction, session, tree, verify
from editlog.against import verify_against
from editlog.endorsement import Endorsements, Signer
from editlog.errors import LifelongError, UsageError
from editlog.events import OF_A_JOB, VERSION, Entry, Event, Stamp
from editlog.fact import Fact, Probes
from editlog.head import Head
from editlog.history import LoggedFact, read_events, read_facts, require_facts
from editlog.lock import locked
from editlog.lookup import Happening, facts_where, happenings, resolve
from editlog.migrate import migrate
from editlog.position import AsOf, seq_of
from editlog.schema import Outdated
from editlog.session import Clock, reading, writing
from editlog.texts import probes_of_row
from editlog.tree import Proof
from editlog.verify import Finding
from editlog.witness import Witness, inform, last_told, tree_head, warn

if TYPE_CHECKING:
    from editlog.ingest import Receipt
    from editlog.recover import Recovery

_OF_THE_LOG = frozenset(
    {"workspace.created", "ingest.batch", "fact.put", "fact.retracted", "fact.redacted", "log.recovered"}
    | {"facts.signed", "fact.approved", "fact.rejected"}
)


def utc_now() -> datetime:
    """The clock of the log, unless a test brings its own."""
    return datetime.now(UTC)


class EditLog:
    """The append-only log in one directory: `edits.duckdb`, `HEAD` and `LOCK`."""

    def __init__(
        self, directory: Path, *, timeout: float = 10.0, clock: Clock = utc_now, witness: Witness | None = None
    ) -> None:
        self.directory, self._timeout, self._clock, self._witness = Path(directory), timeout, clock, witness

    @classmethod
    def create(cls, directory: Path, *, actor: str, timeout: float = 10.0, clock: Clock = utc_now) -> EditLog:
        """Begin a log, its first event naming a new workspace; raises UsageError where there is one."""
        log = cls(directory, timeout=timeout, clock=clock)
        stamp = Stamp(clock(), actor)
        durable.make_directory(log.directory)
        with locked(log.directory, shared=False, timeout=timeout):
            for name in (session.DATABASE, head.HEAD):
                if (log.directory / name).exists():
                    raise UsageError(f"{log.directory / name} exists already: there is an edit log here")
            workspace = secrets.token_hex(16)
            first = Entry("workspace.created", {"workspace": workspace, "format": VERSION})
            session.build(log.directory, workspace, first, stamp)
        return log

    @classmethod
    def open(
        cls, directory: Path, *, timeout: float = 10.0, clock: Clock = utc_now, witness: Witness | None = None
    ) -> EditLog:
        """Open a log, after finishing or forgetting what a crash interrupted, and bring an older one up to date.

        `witness` is told where the log stands after every call that writes, once that is durable.
        """
        log = cls(directory, timeout=timeout, clock=clock, witness=witness)
        if session.unsettled(log.directory):
            with locked(log.directory, shared=False, timeout=timeout):
                session.heal(log.directory)
        try:
            log.head()
        except Outdated:
            with locked(log.directory, shared=False, timeout=timeout):
                migrate(log.directory, clock)
        return log

    # Writing

    @contextmanager
    def _writing(self) -> Iterator[session.Writer]:
        """One transaction; the witness is told once the log is free again."""
        with writing(self.directory, timeout=self._timeout, clock=self._clock) as writer:
            yield writer
        self._inform()

    def _inform(self) -> None:
        """Tell the witness where the log stands, unless it knows; a failure is a warning, for the facts are safe."""
        if self._witness is None:
            return
        try:
            position = self.head()
            if last_told(self.directory).seq != position.seq:
                root = tree.root_at(self.directory, position.seq, timeout=self._timeout)
                inform(self.directory, self._witness, tree_head(position, root, self._clock()))
        except LifelongError as error:
            warn(error)

    def ingest(
        self,
        facts: Iterable[Fact],
        *,
        actor: str,
        reason: str | None = None,
        origin: str | None = None,
        origin_sha256: str | None = None,
        rejected: int = 0,
        converted: int = 0,
        reassert: bool = False,
        signer: Signer | None = None,
        dry_run: bool = False,
    ) -> Receipt:
        """Put facts, exactly once: what the log has already is counted, not written.

        `origin` and the tagged `origin_sha256` name the input; `rejected` and `converted` are counts of what
        happened to it before, for the record. `reassert` puts stale repeats too, which then govern.
        `signer` signs each fact that is put, in the same transaction.
        `dry_run` returns the receipt that a real call would, and writes nothing. `facts` is read to its end
        before the log is locked; an exception raised while reading it leaves the log untouched.
        """
        from editlog import ingest

        tables = ingest.prepare(facts)
        batch = {
            "origin": origin,
            "origin_sha256": origin_sha256,
            "rejected": rejected,
            "converted": converted,
        }
        with self._writing() as writer:
            stamp = Stamp(writer.now, actor, reason)
            return ingest.run(writer, tables, stamp, batch, reassert=reassert, dry_run=dry_run, signer=signer)

    def append(
        self, entries: Sequence[Entry], *, actor: str, reason: str | None = None, job: str | None = None
    ) -> Head:
        """Append events of any kinds but those that only the log itself writes, in one transaction."""
        for entry in entries:
            if entry.kind in _OF_THE_LOG:
                raise UsageError(f"{entry.kind} events have a method of their own")
            if entry.kind in OF_A_JOB and job is None:
                raise UsageError(f"{entry.kind} is the event of a job: say which")
        with self._writing() as writer:
            writer.append(entries, Stamp(writer.now, actor, reason, job))
            require_facts(writer.con, entries)
            return writer.commit()

    def retract(
        self, refs: Iterable[str], *, actor: str, reason: str | None, dry_run: bool = False
    ) -> list[LoggedFact]:
        """Withdraw facts, all or none; returns them as they stood before."""
        with self._writing() as writer:
            facts = retraction.by_name(writer.con, writer.seq, refs)
            return self._withdraw(writer, facts, Stamp(writer.now, actor, reason), None, dry_run)

    def revert(
        self,
        *,
        job: str | None = None,
        source: str | None = None,
        batch: int | None = None,
        actor: str,
        reason: str | None,
        dry_run: bool = False,
    ) -> list[LoggedFact]:
        """Withdraw every unretracted fact of one job, source or batch; returns them as they stood before."""
        if [job, source, batch].count(None) != 2:
            raise UsageError("revert one thing at a time: a job, a source or a batch")
        with self._writing() as writer:
            stamp = Stamp(writer.now, actor, reason)
            if job is not None:
                facts, what = retraction.of_job(writer.con, writer.seq, job), "job"
            elif source is not None:
                facts, what = retraction.of_source(writer.con, writer.seq, source), "source"
            else:
                facts, what = retraction.of_batch(writer.con, writer.seq, batch or 0), "batch"
            return self._withdraw(writer, facts, stamp, what, dry_run)

    def approve(
        self,
        refs: Iterable[str],
        *,
        actor: str,
        reason: str | None = None,
        signer: Signer | None = None,
        dry_run: bool = False,
    ) -> list[LoggedFact]:
        """Approve facts that are not applied yet, all or none; `signer` signs each approval."""
        with self._writing() as writer:
            facts = retraction.by_name(writer.con, writer.seq, refs)
            endorsement.approve(writer, facts, Stamp(writer.now, actor, reason), signer)
            if not dry_run:
                writer.commit()
            return facts

    def reject(self, refs: Iterable[str], *, actor: str, reason: str | None, dry_run: bool = False) -> list[LoggedFact]:
        """Reject facts that are not applied yet, all or none: no job applies them until someone else approves."""
        with self._writing() as writer:
            facts = retraction.by_name(writer.con, writer.seq, refs)
            endorsement.reject(writer, facts, Stamp(writer.now, actor, reason))
            if not dry_run:
                writer.commit()
            return facts

    def recover(
        self,
        *,
        actor: str,
        reason: str | None = None,
        export: Path | None = None,
        dry_run: bool = False,
    ) -> Recovery:
        """Bring a damaged log back from what verifies: its database, then the file `export` that `log export` wrote.

        Keeps the damaged files under `evidence/`, and appends an event that says what could not be brought back;
        nothing is done to a log that is intact. Raises IntegrityError where not even the first event is to be had.
        """
        from editlog import recover

        def stamp(last: datetime | None) -> Stamp:
            now = self._clock()
            return Stamp(max(now, last.replace(tzinfo=UTC)) if last else now, actor, reason)

        with locked(self.directory, shared=False, timeout=self._timeout):
            found = recover.recover(self.directory, (), export=export, stamp=stamp, dry_run=dry_run)
        if not dry_run:
            self._inform()
        return found

    def checkpoint(self) -> None:
        """Fold DuckDB's write-ahead log, where a crash left one, into the database file."""
        with self._writing() as writer:
            writer.con.execute("ROLLBACK")
            writer.con.execute("CHECKPOINT")

    # Reading

    def head(self) -> Head:
        """Where the log stands."""
        with reading(self.directory, timeout=self._timeout) as (_, position):
            return position

    def position(self, as_of: AsOf | None = None) -> int:
        """The seq that `as_of` means: an event's number, a job's end, a moment; None: now. Raises UsageError."""
        with reading(self.directory, timeout=self._timeout) as (con, position):
            return seq_of(con, position.seq, as_of)

    def facts(self, *, as_of: AsOf | None = None) -> list[LoggedFact]:
        """Every unerased fact, in log order, with its standing now or at `as_of`; no probes."""
        with reading(self.directory, timeout=self._timeout) as (con, position):
            return read_facts(con, seq_of(con, position.seq, as_of))

    def probes_of(self, seqs: Collection[int]) -> dict[int, Probes]:
        """The probes of facts, by seq: to measure with, never to learn from."""
        with reading(self.directory, timeout=self._timeout) as (con, _):
            rows = con.execute(
                "SELECT seq, probes FROM texts WHERE seq IN (SELECT unnest(?::BIGINT[])) ORDER BY seq",
                [list(seqs)],
            ).fetchall()
        return {seq: probes_of_row(probes) for seq, probes in rows}

    def events(
        self,
        *,
        kinds: Collection[str] | None = None,
        after: int = 0,
        as_of: AsOf | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        job: str | None = None,
        actor: str | None = None,
    ) -> list[Event]:
        """Events beyond `after`, up to `as_of`, in log order or `newest_first`, at most `limit` of them."""
        conditions = ["seq > $1"]
        parameters: list[Any] = [after]
        for condition, value in (
            ("kind IN (SELECT unnest(${}::VARCHAR[]))", None if kinds is None else list(kinds)),
            ("seq <= ${}", None if as_of is None else self.position(as_of)),
            ("job = ${}", job),
            ("actor = ${}", actor),
        ):
            if value is not None:
                parameters.append(value)
                conditions.append(condition.format(len(parameters)))
        order = f"ORDER BY seq {'DESC' if newest_first else 'ASC'}"
        if limit is not None:
            parameters.append(limit)
            order += f" LIMIT ${len(parameters)}"
        with reading(self.directory, timeout=self._timeout) as (con, _):
            return read_events(con, " AND ".join(conditions), parameters, order)

    def resolve(self, ref: str, *, as_of: AsOf | None = None) -> LoggedFact:
        """The fact that `ref` means: f12, 12, the fact's own id, or at least 8 digits of its digest.

        Raises UsageError where no fact is meant, or where several may be and not exactly one governs.
        """
        with reading(self.directory, timeout=self._timeout) as (con, position):
            return resolve(con, seq_of(con, position.seq, as_of), ref)

    def history(
        self,
        *,
        ref: str | None = None,
        subject: str | None = None,
        relation: str | None = None,
        prompt: str | None = None,
        as_of: AsOf | None = None,
    ) -> list[Happening]:
        """All that happened to one fact, or to the facts of a subject, relation or prompt, in order, up to `as_of`."""
        if (ref is None) == (subject is None and relation is None and prompt is None):
            raise UsageError("ask for the history of one fact, or of a subject, a relation or a prompt")
        with reading(self.directory, timeout=self._timeout) as (con, position):
            seq = seq_of(con, position.seq, as_of)
            if ref is not None:
                facts = [resolve(con, seq, ref)]
            else:
                facts = facts_where(con, seq, subject=subject, relation=relation, prompt=prompt)
            return happenings(con, seq, facts)

    def endorsements(self, seqs: Collection[int]) -> dict[int, Endorsements]:
        """What the log has on facts, by seq: signatures, approvals and rejections, each signature checked."""
        with reading(self.directory, timeout=self._timeout) as (con, position):
            return endorsement.read_endorsements(con, position.workspace, position.seq, seqs)

    def verify(self, *, against: Path | None = None, key: str | None = None) -> list[Finding]:
        """Re-derive every hash and commitment; what does not fit, in log order. Empty means intact.

        `against` is the file of a witness: what it was told must be in the log. With `key`, a public key, each of its
        lines must be signed by that one.
        """
        findings = verify.verify(self.directory, timeout=self._timeout)
        if against is not None:
            findings += verify_against(self.directory, against, key=key, timeout=self._timeout)
        return findings

    def proof(self, seq: int, *, at: int | None = None, with_texts: bool = False) -> Proof:
        """The Merkle proof of event `seq` in the tree of the first `at` events (None: of all).

        `with_texts` adds what opens the commitment of a fact. Raises UsageError where there is no such event.
        """
        return tree.prove(self.directory, seq, at, with_texts=with_texts, timeout=self._timeout)

    def export(self, stream: IO[bytes], *, with_texts: bool = False) -> Head:
        """Write every event as one line of JSON with its hash; returns the head that the last line has.

        `with_texts` adds each fact's record and the secret of its commitment, for who may read them.
        """
        return export.export(self.directory, stream, timeout=self._timeout, with_texts=with_texts)

    @staticmethod
    def _withdraw(
        writer: session.Writer, facts: list[LoggedFact], stamp: Stamp, what: str | None, dry_run: bool
    ) -> list[LoggedFact]:
        if facts and not dry_run:
            bodies = [{"fact": fact.seq, "revert": what} for fact in facts]
            writer.append([Entry("fact.retracted", body) for body in bodies], stamp)
            writer.commit()
        return facts
