"""Withdrawing facts: one by name, or every one of a job, a source or a batch. The log keeps all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from duckdb import DuckDBPyConnection

from editlog.errors import UsageError
from editlog.events import Entry, Stamp
from editlog.history import LoggedFact, read_events, read_facts
from editlog.lookup import resolve
from editlog.session import Writer


def by_name(con: DuckDBPyConnection, as_of: int, refs: Iterable[str]) -> list[LoggedFact]:
    """The facts that `refs` name, each once; raises UsageError where one of them is already retracted."""
    facts = {fact.seq: fact for fact in (resolve(con, as_of, ref) for ref in refs)}
    for fact in facts.values():
        if fact.retracted_by is not None:
            raise UsageError(f"{fact.ref} is retracted already, by event {fact.retracted_by}: leave it out")
    return list(facts.values())


def together(
    con: DuckDBPyConnection, as_of: int, *, job: str | None, source: str | None, batch: int | None
) -> tuple[list[LoggedFact], str]:
    """The unretracted facts of one job, source or batch, and which of these it was; raises UsageError for several."""
    if [job, source, batch].count(None) != 2:
        raise UsageError("revert one thing at a time: a job, a source or a batch")
    if job is not None:
        return _of_job(con, as_of, job), "job"
    if source is not None:
        return _of_source(con, as_of, source), "source"
    return _of_batch(con, as_of, batch or 0), "batch"


def withdraw(writer: Writer, facts: Sequence[LoggedFact], stamp: Stamp, what: str | None = None) -> None:
    """Retract facts, and commit; `what` says with what they are reverted together."""
    if facts:
        writer.append([Entry("fact.retracted", {"fact": fact.seq, "revert": what}) for fact in facts], stamp)
        writer.commit()


def _of_job(con: DuckDBPyConnection, as_of: int, job: str) -> list[LoggedFact]:
    """The unretracted facts that a job has ever applied."""
    events = read_events(con, "job = $1", [job])
    if not events:
        raise UsageError(f"the log knows no job {job!r}: `lifelong log list` shows which there are")
    outcomes = [event.body["facts"] for event in events if event.kind == "facts.applied"]
    applied = {item["fact"] for items in outcomes for item in items}
    return _live(con, as_of, "seq IN (SELECT unnest($1::BIGINT[]))", list(applied), applied)


def _of_source(con: DuckDBPyConnection, as_of: int, source: str) -> list[LoggedFact]:
    """The unretracted facts that give exactly this source."""
    seqs = [seq for (seq,) in con.execute("SELECT seq FROM texts WHERE source = ?", [source]).fetchall()]
    if not seqs:
        raise UsageError(f"no fact in the log has the source {source!r}")
    return _live(con, as_of, "source = $1", source, set(seqs))


def _of_batch(con: DuckDBPyConnection, as_of: int, batch: int) -> list[LoggedFact]:
    """The unretracted facts that one ingest put."""
    events = read_events(con, "seq = $1 AND kind = 'ingest.batch'", [batch])
    if not events:
        raise UsageError(f"event {batch} is no ingest.batch: `lifelong log list` shows which are")
    seqs = range(batch + 1, batch + 1 + events[0].body["accepted"])
    return _live(con, as_of, "seq BETWEEN $1[1] AND $1[2]", [seqs[0], seqs[-1]], set(seqs))


def _live(con: DuckDBPyConnection, as_of: int, where: str, parameter: object, seqs: set[int]) -> list[LoggedFact]:
    keys = con.execute(f"SELECT DISTINCT key FROM texts WHERE {where}", [parameter]).fetchall()
    facts = read_facts(con, as_of, [key for (key,) in keys])
    return [fact for fact in facts if fact.seq in seqs and fact.retracted_by is None]
