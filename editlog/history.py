"""What the log says of each fact: pure folds over its events, and the queries that feed them.

A fact's standing follows from log order alone. The latest unretracted put of a key governs it; the outcome of
a fact is the latest event that names it; an expert that was retired carries nothing any more, and a fact that was held
waits again once someone approves it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from editlog.errors import UsageError
from editlog.events import Entry, Event, event_of
from editlog.fact import Fact
from editlog.texts import Remembered

Status = Literal["pending", "applied", "failed", "held", "superseded", "retracted"]

OUTCOMES: Mapping[str, Status] = {"facts.applied": "applied", "facts.failed": "failed", "facts.held": "held"}
_LOOKED_FOR_AT_MOST = 256
ABOUT_FACTS = (
    *OUTCOMES,
    *("job.started", "facts.signed", "fact.approved", "fact.rejected", "fact.retracted", "fact.redacted"),
)
"""The kinds of events that name facts in their bodies, but for fact.put."""

_ALWAYS = ("ingest.batch", "experts.retired")
EVENT_COLUMNS = "seq, recorded_at, kind, actor, reason, job, body, hash"


@dataclass(frozen=True, slots=True)
class LoggedFact:
    """A fact and what the log says of it at one position. `ref` is its name, such as f12.

    `superseded_by` is the seq of the fact that governs its key instead: while that one waits or is held, this one still
    answers, and its status says so. `retracted_by` is the seq of the event that withdrew it. `expert`, `job` and `why`
    are those of its latest outcome: `expert` where it was applied and the expert still stands, `why` where it failed or
    is held.
    """

    seq: int
    fact: Fact
    actor: str
    at: datetime
    batch: int
    governs: bool
    superseded_by: int | None
    retracted_by: int | None
    status: Status
    expert: str | None
    job: str | None
    why: str | None

    @property
    def ref(self) -> str:
        """The fact's name in every command and report."""
        return f"f{self.seq}"

    @property
    def has_outcome(self) -> bool:
        """Whether it was applied, failed or is held, and that still stands: else it waits for a job."""
        return self.expert is not None or self.why is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job last made of a fact."""

    status: Status
    expert: str | None
    job: str | None
    why: str | None


NO_OUTCOME = Outcome("pending", None, None, None)


@dataclass
class Ledger:
    """What all events but the facts themselves amount to."""

    batches: list[int] = field(default_factory=list)
    retracted: dict[int, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)

    def outcome(self, seq: int) -> Outcome | None:
        """The fact's latest outcome that still stands; None where it waits for a job."""
        outcome = self.outcomes.get(seq)
        return None if outcome is None or outcome.expert in self.retired else outcome

    def release(self, seq: int | None) -> None:
        """Let a fact that is held wait for a job again."""
        if seq in self.outcomes and self.outcomes[seq].status == "held":
            del self.outcomes[seq]

    def batch(self, seq: int) -> int:
        """The seq of the ingest.batch event that a fact came with."""
        return self.batches[bisect_right(self.batches, seq) - 1]


def fold(events: Iterable[Event]) -> Ledger:
    """Fold events, in log order, into a ledger; kinds that say nothing of facts or experts pass by."""
    ledger = Ledger()
    for event in events:
        if event.kind == "ingest.batch":
            ledger.batches.append(event.seq)
        elif event.kind == "fact.retracted":
            ledger.retracted[event.body["fact"]] = event.seq
        elif event.kind == "experts.retired":
            ledger.retired.update(event.body["experts"])
        elif event.kind in OUTCOMES:
            for item in event.body["facts"]:
                expert = item.get("expert")
                ledger.retired.discard(expert)
                job = item.get("job", event.job)  # a fact that a merge moved stays with the job that applied it
                ledger.outcomes[item["fact"]] = Outcome(OUTCOMES[event.kind], expert, job, item.get("reason"))
        elif event.kind == "fact.approved":
            ledger.release(event.fact)
    return ledger


def governing(keys: Iterable[tuple[int, str]], retracted: Mapping[int, int]) -> dict[str, int]:
    """The seq that governs each key, given the (seq, key) of puts in log order."""
    return {key: seq for seq, key in keys if seq not in retracted}


def answering(keys: Iterable[tuple[int, str]], ledger: Ledger) -> dict[str, int]:
    """The seq that answers for each key, given the (seq, key) of puts in log order: the latest that is carried."""
    carried = ((seq, key) for seq, key in keys if (ledger.outcome(seq) or NO_OUTCOME).expert)
    return governing(carried, ledger.retracted)


def status_of(seq: int, governs: bool, answers: bool, ledger: Ledger) -> Status:
    """One word for where a fact stands; one that answers is superseded only once another is applied in its place."""
    if seq in ledger.retracted:
        return "retracted"
    if not governs and not answers:
        return "superseded"
    return (ledger.outcome(seq) or NO_OUTCOME).status


def read_facts(
    con: DuckDBPyConnection, as_of: int, keys: Sequence[str] | None = None, *, before: Remembered | None = None
) -> list[LoggedFact]:
    """Every unerased fact put up to `as_of`, in log order; only those of `keys`, where given.

    `before` gives the facts of earlier readings, so that only their standing is read again.
    """
    if keys is not None:
        return read_told(con, as_of, seqs_of_keys(con, as_of, keys)).facts
    kinds = of_kinds(*_ALWAYS, *OUTCOMES, "fact.retracted", "fact.approved")
    ledger = fold(read_events(con, f"seq <= $1 AND {kinds}", [as_of]))
    return _logged_facts(con, as_of, "true", ledger, before or Remembered())


@dataclass(frozen=True, slots=True)
class Told:
    """Facts, and every event about them, in log order; batches and retired experts of others are among these."""

    facts: list[LoggedFact]
    events: list[Event]


def read_told(con: DuckDBPyConnection, as_of: int, seqs: Sequence[int]) -> Told:
    """All facts of some keys up to `as_of`, given by `seqs`: a million others need not be read to tell of one."""
    if not seqs:
        return Told([], [])
    about = f"{of_kinds(*_ALWAYS, *ABOUT_FACTS)} AND {mentions(seqs)}"
    later = read_events(con, f"seq BETWEEN {_batch_of(con, seqs[0])} AND $1 AND {about}", [as_of])
    puts = read_events(con, f"kind = 'fact.put' AND {among('seq', seqs)}", [])
    ledger = fold(later)
    carriers = {outcome.expert for seq in seqs if (outcome := ledger.outcomes.get(seq))}
    ledger.retired -= _back_again(con, as_of, [expert for expert in carriers & ledger.retired if expert])
    chosen = f"{among('texts.seq', seqs)} AND {among('events.seq', seqs)}"
    return Told(
        _logged_facts(con, as_of, chosen, ledger, Remembered()), sorted(puts + later, key=lambda event: event.seq)
    )


def _logged_facts(
    con: DuckDBPyConnection, as_of: int, chosen: str, ledger: Ledger, before: Remembered
) -> list[LoggedFact]:
    """The facts that an SQL condition selects, all of their keys, as the ledger has them."""
    rows = con.execute(
        "SELECT seq, key, actor, recorded_at, hash FROM texts JOIN events USING (seq) "
        f"WHERE kind = 'fact.put' AND seq <= $1 AND {chosen} ORDER BY seq",
        [as_of],
    ).fetchall()
    facts = before.facts(con, [(row[0], row[-1]) for row in rows])
    keys = [(seq, key) for seq, key, *_ in rows]
    governs, answers = governing(keys, ledger.retracted), answering(keys, ledger)
    return [
        _logged(row, fact, governs.get(row[1]), answers.get(row[1]), ledger)
        for row, fact in zip(rows, facts, strict=True)
    ]


def _batch_of(con: DuckDBPyConnection, seq: int) -> int:
    """The seq of the ingest.batch event that a fact came with: no event before it says anything of the fact."""
    query = "SELECT coalesce(max(seq), 0) FROM events WHERE kind = 'ingest.batch' AND seq < ?"
    [(batch,)] = con.execute(query, [seq]).fetchall()
    return int(batch)


def _back_again(con: DuckDBPyConnection, as_of: int, experts: Sequence[str]) -> set[str]:
    """Those of the experts that were applied, to whatever fact, after they were last retired."""
    found = set()
    for expert in experts:
        [(back,)] = con.execute(
            "SELECT max_by(kind, seq) = 'facts.applied' FROM events "
            "WHERE seq <= ? AND kind IN ('facts.applied', 'experts.retired') AND contains(body, ?)",
            [as_of, expert],
        ).fetchall()
        if back:
            found.add(expert)
    return found


def seqs_of_keys(con: DuckDBPyConnection, as_of: int, keys: Sequence[str]) -> list[int]:
    """The seqs of all facts of some keys, in log order."""
    if not keys:
        return []
    if len(keys) == 1:  # a comparison is tried while the column is scanned, a list is joined with afterwards
        query, asked = "SELECT seq FROM texts WHERE key = $2 AND seq <= $1 ORDER BY seq", keys[0]
        return [seq for (seq,) in con.execute(query, [as_of, asked]).fetchall()]
    query = "SELECT seq FROM texts WHERE key IN (SELECT unnest($2::VARCHAR[])) AND seq <= $1 ORDER BY seq"
    return [seq for (seq,) in con.execute(query, [as_of, list(keys)]).fetchall()]


def among(column: str, seqs: Collection[int]) -> str:
    """SQL that passes some seqs, written out so that DuckDB skips the row groups in which none of them lies."""
    return f"{column} IN ({', '.join(map(str, seqs))})" if seqs else "false"


def of_kinds(*kinds: str) -> str:
    """SQL that passes events of some kinds, none of them fact.put: said first, for that skips nearly all bodies."""
    return f"kind <> 'fact.put' AND kind IN ({', '.join(map(repr, kinds))})"


def mentions(seqs: Collection[int]) -> str:
    """SQL that passes every event whose body names one of the facts, all batches and retired experts; and some more.

    It looks for the number in the canonical JSON, so that only what is passed needs to be read. A pattern goes through
    a long body once however many facts are looked for, in half the time that `contains` takes for one.
    """
    if len(seqs) > _LOOKED_FOR_AT_MOST:
        return "true"
    number = f"(?:{'|'.join(map(str, seqs))})"
    listed = f"kind = 'job.started' AND regexp_matches(body, '[[,]{number}[],]')"
    named = f"kind <> 'job.started' AND regexp_matches(body, '\"fact\":{number}[,}}]')"
    return f"(kind IN ({', '.join(map(repr, _ALWAYS))}) OR ({listed}) OR ({named}))"


def _logged(row: Sequence[Any], fact: Fact, governor: int | None, answering: int | None, ledger: Ledger) -> LoggedFact:
    seq, _, actor, at, _ = row
    outcome = ledger.outcome(seq) or NO_OUTCOME
    retracted_by = ledger.retracted.get(seq)
    return LoggedFact(
        seq=seq,
        fact=fact,
        actor=actor,
        at=at.replace(tzinfo=UTC),
        batch=ledger.batch(seq),
        governs=seq == governor,
        superseded_by=governor if retracted_by is None and governor != seq else None,
        retracted_by=retracted_by,
        status=status_of(seq, seq == governor, seq == answering, ledger),
        expert=outcome.expert,
        job=outcome.job,
        why=outcome.why,
    )


def read_events(
    con: DuckDBPyConnection, where: str, parameters: Sequence[Any], order: str = "ORDER BY seq"
) -> list[Event]:
    """Events that an SQL condition selects, in log order unless told otherwise."""
    query = f"SELECT {EVENT_COLUMNS} FROM events WHERE {where} {order}"
    return [event_of(row) for row in con.execute(query, list(parameters)).fetchall()]


def require_facts(con: DuckDBPyConnection, entries: Iterable[Entry]) -> None:
    """Raise UsageError where an outcome names what is no fact."""
    outcomes = [entry.body["facts"] for entry in entries if entry.kind in OUTCOMES]
    named = sorted({item["fact"] for items in outcomes for item in items})
    row = con.execute(
        "SELECT min(named.seq) FROM (SELECT unnest(?::BIGINT[]) AS seq) AS named "
        "ANTI JOIN (SELECT seq FROM events WHERE kind = 'fact.put') USING (seq)",
        [named],
    ).fetchone()
    if row and row[0] is not None:
        raise UsageError(f"event {row[0]} puts no fact: an outcome must name facts of this log")


def retracted_in(con: DuckDBPyConnection) -> set[int]:
    """The seqs of all facts retracted so far."""
    rows = con.execute("SELECT body FROM events WHERE kind = 'fact.retracted'").fetchall()
    return {json.loads(body)["fact"] for (body,) in rows}
