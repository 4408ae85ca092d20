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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from editlog import durable, endorsement, export, head, redaction, retraction, session, tree, verify
from editlog.against import verify_against
from editlog.bodies import OF_A_JOB
from editlog.draft import Draft
from editlog.endorsement import Signer
from editlog.errors import IntegrityError, UsageError
from editlog.events import VERSION, Entry, Stamp
from editlog.fact import Fact
from editlog.followers import Followers
from editlog.head import Head
from editlog.history import LoggedFact, require_facts
from editlog.lock import locked
from editlog.migrate import migrate
from editlog.reader import Reader
from editlog.schema import Outdated
from editlog.session import Clock, reading, writing
from editlog.tree import Proof
from editlog.verify import Finding
from editlog.witness import Witness

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from editlog.ingest import Receipt
    from editlog.prepared import Prepared
    from editlog.recover import Recovery

_OF_THE_LOG = frozenset(
    {"workspace.created", "ingest.batch", "fact.put", "fact.retracted", "fact.redacted", "log.recovered"}
    | {"facts.signed", "fact.approved", "fact.rejected", "inbox.drained"}
)


def utc_now() -> datetime:
    """The clock of the log, unless a test brings its own."""
    return datetime.now(UTC)


class EditLog(Reader):
    """The append-only log in one directory: `edits.duckdb`, `HEAD` and `LOCK`."""

    def __init__(
        self,
        directory: Path,
        *,
        timeout: float = 10.0,
        clock: Clock = utc_now,
        witness: Witness | None = None,
        replica: Path | None = None,
    ) -> None:
        self.directory, self._timeout, self._clock = Path(directory), timeout, clock
        self._followers = Followers(witness, replica)

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        actor: str,
        timeout: float = 10.0,
        clock: Clock = utc_now,
        witness: Witness | None = None,
        replica: Path | None = None,
    ) -> EditLog:
        """Begin a log, its first event naming a new workspace; raises UsageError where there is one.

        `witness` and `replica` follow every write from the first on, as those of `open` do.
        """
        log = cls(directory, timeout=timeout, clock=clock, witness=witness, replica=replica)
        stamp = Stamp(clock(), actor)
        durable.make_directory(log.directory)
        with locked(log.directory, shared=False, timeout=timeout):
            for name in (session.DATABASE, head.HEAD):
                if (log.directory / name).exists():
                    raise UsageError(f"{log.directory / name} exists already: there is an edit log here")
            workspace = secrets.token_hex(16)
            first = Entry("workspace.created", {"workspace": workspace, "format": VERSION})
            session.build(log.directory, workspace, first, stamp)
        log._followers.follow(log, clock, timeout)
        return log

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        timeout: float = 10.0,
        clock: Clock = utc_now,
        witness: Witness | None = None,
        replica: Path | None = None,
    ) -> EditLog:
        """Open a log, after finishing or forgetting what a crash interrupted, and bring an older one up to date.

        After every call that writes, once that is durable, `witness` is told where the log stands, and the readers'
        copy in the folder `replica` is refreshed.
        """
        log = cls(directory, timeout=timeout, clock=clock, witness=witness, replica=replica)
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
        """One transaction; the witness and the replica follow once the log is free again."""
        with writing(self.directory, timeout=self._timeout, clock=self._clock) as writer:
            yield writer
        self._followers.follow(self, self._clock, self._timeout)

    def prepare(self, facts: Iterable[Fact | Draft]) -> Prepared:
        """Read facts to their end and do everything for `ingest` that needs no lock, in flat memory."""
        from editlog.prepared import Prepared

        return Prepared(facts, self.directory)

    def ingest(
        self,
        facts: Iterable[Fact | Draft] | Prepared,
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
        """Put facts, exactly once: what the log has already is counted, not written. Drains the inbox first.

        `origin` and the tagged `origin_sha256` name the input; `rejected` and `converted` are counts of what
        happened to it before, for the record. `reassert` puts stale repeats too, which then govern.
        `signer` signs each fact that is put, in the same transaction.
        `dry_run` returns the receipt that a real call would, and writes nothing. `facts` is read to its end
        before the log is locked; an exception raised while reading it leaves the log untouched.
        """
        from editlog import ingest
        from editlog.prepared import Prepared

        batch = {
            "origin": origin,
            "origin_sha256": origin_sha256,
            "rejected": rejected,
            "converted": converted,
        }
        prepared = nullcontext(facts) if isinstance(facts, Prepared) else self.prepare(facts)
        if not dry_run:
            self.drain()
        with prepared as tables, self._writing() as writer:
            stamp = Stamp(writer.now, actor, reason)
            return ingest.run(writer, tables, stamp, batch, reassert=reassert, dry_run=dry_run, signer=signer)

    def spool(
        self,
        prepared: Prepared,
        *,
        actor: str,
        reason: str | None = None,
        origin: str | None = None,
        origin_sha256: str | None = None,
        rejected: int = 0,
        converted: int = 0,
        reassert: bool = False,
    ) -> str:
        """Write an ingest into the inbox, durably, for the next writer to take in; returns its name there.

        For where the log cannot be had. It is not in the log yet: no reader sees it.
        """
        from editlog import inbox

        now = self._clock()
        Stamp(now, actor, reason)  # what the drain will write: refused here or never
        header = inbox.spool(
            self.directory,
            prepared,
            now=now,
            actor=actor,
            reason=reason,
            origin=origin,
            origin_sha256=origin_sha256,
            rejected=rejected,
            converted=converted,
            reassert=reassert,
        )
        return header.spool

    def drain(self) -> list[Receipt]:
        """Take in what was spooled, oldest first, each in a transaction of its own and exactly once."""
        from editlog import inbox, ingest

        receipts = []
        for path in inbox.files(self.directory):
            try:
                header, drafts = inbox.read(path)
            except FileNotFoundError:  # another writer has just drained it
                continue
            batch = header.model_dump(include={"origin", "origin_sha256", "rejected", "converted"})
            with self.prepare(drafts) as tables, self._writing() as writer:
                if not inbox.is_drained(writer.con, header.spool):
                    stamp = Stamp(writer.now, header.actor, header.reason)
                    receipts.append(
                        ingest.run(
                            writer, tables, stamp, batch, reassert=header.reassert, dry_run=False, spool=header.spool
                        )
                    )
            inbox.remove(path)
        inbox.sweep(self.directory)
        return receipts

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
            stamp = Stamp(writer.now, actor, reason)
            if not dry_run:
                retraction.withdraw(writer, facts, stamp)
            return facts

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
        with self._writing() as writer:
            facts, what = retraction.together(writer.con, writer.seq, job=job, source=source, batch=batch)
            stamp = Stamp(writer.now, actor, reason)
            if not dry_run:
                retraction.withdraw(writer, facts, stamp, what)
            return facts

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

    def same_content(self, seqs: Sequence[int]) -> list[LoggedFact]:
        """The facts `seqs` and every other that gives the same target to the same prompt, in log order."""
        with reading(self.directory, timeout=self._timeout) as (con, position):
            return redaction.same_content(con, position.seq, seqs)

    def redacted(self) -> list[int]:
        """The facts whose words were destroyed, by seq."""
        with reading(self.directory, timeout=self._timeout) as (con, _):
            return redaction.redacted(con)

    def redact(self, seqs: Sequence[int], more: Sequence[Entry] = (), *, actor: str, reason: str) -> Head:
        """Destroy the words of facts and the secrets of their commitments, by writing the database anew.

        The chain still verifies, and fact.redacted events say when, why and by whom; `more` follows them in the same
        step. What lies outside the log (packs, snapshots, reports) is the caller's: see `Workspace.redact`. Raises
        IntegrityError, and changes nothing, where `verify` finds anything.
        """
        self.drain()  # what is spooled may hold the same words
        if findings := self.verify():
            raise IntegrityError(f"the log is not intact, so nothing was redacted: {findings[0].message}")
        with locked(self.directory, shared=False, timeout=self._timeout) as held:
            position = redaction.rewrite(self.directory, seqs, more, Stamp(self._clock(), actor, reason), held)
        self._followers.follow(self, self._clock, self._timeout)
        return position

    def recover(
        self,
        *,
        actor: str,
        reason: str | None = None,
        export: Path | None = None,
        dry_run: bool = False,
    ) -> Recovery:
        """Bring a damaged log back from what verifies: its database, its replica, the file `export` of `log export`.

        Keeps the damaged files under `evidence/`, and appends an event that says what could not be brought back;
        nothing is done to a log that is intact. Raises IntegrityError where not even the first event is to be had.
        """
        from editlog import recover, salvage

        def stamp(last: datetime | None) -> Stamp:
            now = self._clock()
            return Stamp(max(now, last.replace(tzinfo=UTC)) if last else now, actor, reason)

        replica = self._followers.replica
        sources = [] if replica is None else [salvage.ReplicaTables(replica)]
        with locked(self.directory, shared=False, timeout=self._timeout):
            found = recover.recover(self.directory, sources, export=export, stamp=stamp, dry_run=dry_run)
        if not dry_run:
            self._followers.follow(self, self._clock, self._timeout)
        return found

    def checkpoint(self) -> None:
        """Fold DuckDB's write-ahead log, where a crash left one, into the database file."""
        with self._writing() as writer:
            writer.con.execute("ROLLBACK")
            writer.con.execute("CHECKPOINT")

    # Reading

    @contextmanager
    def visit(self) -> Iterator[tuple[DuckDBPyConnection, Head]]:
        """Hold the log, shared, while the block runs; see `Reader.visit`."""
        with reading(self.directory, timeout=self._timeout) as found:
            yield found

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
