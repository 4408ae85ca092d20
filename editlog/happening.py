"""All that ever happened to facts, told in order: said, superseded, planned, learned, audited, published, withdrawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.events import Event
from editlog.history import OUTCOMES, LoggedFact, among, mentions, of_kinds, read_events, seqs_of_keys

# What an event means in the life of a fact that its body names, in one word.
_WORDS: Mapping[str, str] = {
    **OUTCOMES,
    "job.started": "planned",
    "facts.signed": "signed",
    "fact.approved": "approved",
    "fact.rejected": "rejected",
    "fact.retracted": "retracted",
    "fact.redacted": "redacted",
}
# What the end of a job means for the facts that it took an outcome to.
_OF_ITS_JOB: Mapping[str, str] = {"job.audited": "audited", "job.finished": "published", "job.failed": "not published"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One event in the life of one fact: in a word, and the part of the event's body that is about the fact."""

    event: Event
    fact: LoggedFact
    what: str
    detail: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The happening as plain JSON data, with the words of the fact."""
        return {
            **self.event.to_dict(),
            "body": self.detail,
            "what": self.what,
            "fact": self.fact.ref,
            "prompt": self.fact.fact.prompt,
            "target": self.fact.fact.target,
        }


def happenings(con: DuckDBPyConnection, as_of: int, facts: Iterable[LoggedFact]) -> list[Happening]:
    """Every event about the facts, in log order; an event that is about several is told once for each."""
    named = {fact.seq: fact for fact in facts}
    if not named:
        return []
    told = [*_puts(con, as_of, named), *_later(con, as_of, named)]
    return sorted(told, key=lambda one: (one.event.seq, one.fact.seq))


def _puts(con: DuckDBPyConnection, as_of: int, named: Mapping[int, LoggedFact]) -> Iterator[Happening]:
    """How the facts came in, and which others took their place: all puts of their keys."""
    keys = sorted({fact.fact.key for fact in named.values()})
    seqs = {*named, *seqs_of_keys(con, as_of, keys)}
    puts = read_events(con, f"kind = 'fact.put' AND {among('seq', seqs)}", [])
    origins = {
        event.seq: event.body["origin"]
        for event in read_events(con, among("seq", {event.body["batch"] for event in puts}), [])
        if event.kind == "ingest.batch"
    }
    for event in puts:
        if event.seq in named:
            detail = {**event.body, "origin": origins.get(event.body["batch"])}
            yield Happening(event, named[event.seq], "ingested", detail)
        older = event.body["supersedes"]
        if older in named:
            yield Happening(event, named[older], "superseded", {"fact": older, "superseded_by": event.seq})


def _later(con: DuckDBPyConnection, as_of: int, named: Mapping[int, LoggedFact]) -> Iterator[Happening]:
    """What jobs and people did to the facts."""
    kinds = of_kinds(*_WORDS, "experts.retired")
    where = f"seq BETWEEN {min(named)} AND $1 AND {kinds} AND {mentions(named, 'experts.retired')}"
    experts: dict[str, set[int]] = {}
    jobs: dict[str, set[int]] = {}
    for event in read_events(con, where, [as_of]):
        for seq, detail in _concerned(event, named, experts):
            yield Happening(event, named[seq], _WORDS.get(event.kind, "expert retired"), detail)
            if event.kind in OUTCOMES and event.job is not None:
                jobs.setdefault(event.job, set()).add(seq)
    ends = f"seq <= $1 AND {of_kinds(*_OF_ITS_JOB)} AND job IN (SELECT unnest($2::VARCHAR[]))"
    for event in read_events(con, ends, [as_of, list(jobs)]):
        for seq in jobs[event.job or ""]:
            yield Happening(event, named[seq], _OF_ITS_JOB[event.kind], {"fact": seq, **event.body})


def _concerned(event: Event, named: Collection[int], experts: dict[str, set[int]]) -> list[tuple[int, dict[str, Any]]]:
    """Which of the named facts an event is about, and what it says of each; notes who carried them."""
    if event.kind == "experts.retired":
        gone = [(seq, expert) for expert in event.body["experts"] for seq in sorted(experts.get(expert, ()))]
        return [(seq, {"expert": expert}) for seq, expert in gone]
    if event.kind == "job.started":
        shared = {name: value for name, value in event.body.items() if name != "facts"}
        return [(seq, {"fact": seq, **shared}) for seq in event.body.get("facts", ()) if seq in named]
    items = [item for item in event.body.get("facts", [event.body]) if item["fact"] in named]
    for item in items:
        if "expert" in item:
            experts.setdefault(item["expert"], set()).add(item["fact"])
    return [(item["fact"], item) for item in items]
