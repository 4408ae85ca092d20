"""All that ever happened to facts, told in order: said, superseded, planned, learned, audited, published, withdrawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.events import Event
from editlog.history import OUTCOMES, LoggedFact, Told, of_kinds, read_events

# What an event means in the life of a fact that its body names, in one word.
_WORDS: Mapping[str, str] = {
    **OUTCOMES,
    "job.started": "planned",
    "facts.signed": "signed",
    "fact.approved": "approved",
    "fact.rejected": "rejected",
    "fact.retracted": "retracted",
    "fact.redacted": "redacted",
    "experts.retired": "expert retired",
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


def happenings(con: DuckDBPyConnection, as_of: int, told: Told) -> list[Happening]:
    """Every event about the facts, in log order; an event that is about several is told once for each."""
    named = {fact.seq: fact for fact in told.facts}
    life = [*_puts(named, told.events), *_replaced(named, told.events), *_later(named, told.events)]
    life += _ends(con, as_of, life)
    return sorted(life, key=lambda one: (one.event.seq, one.fact.seq))


def _puts(named: Mapping[int, LoggedFact], events: Sequence[Event]) -> Iterator[Happening]:
    """How the facts came in."""
    origins = {event.seq: event.body["origin"] for event in events if event.kind == "ingest.batch"}
    for event in events:
        if event.kind == "fact.put" and event.seq in named:
            detail = {**event.body, "origin": origins.get(event.body["batch"])}
            yield Happening(event, named[event.seq], "ingested", detail)


def _replaced(named: Mapping[int, LoggedFact], events: Sequence[Event]) -> Iterator[Happening]:
    """Which others took the place of the facts: at once where one did not answer, else when the other was applied."""
    carried: set[int] = set()
    waiting: dict[int, int] = {}
    for event in events:
        if event.kind == "fact.put" and (older := event.body["supersedes"]) is not None:
            answers = older in carried
            if (replaced := older if answers else waiting.get(older)) is not None:
                waiting[event.seq] = replaced
            if older in named:
                what = "to be superseded" if answers else "superseded"
                yield Happening(event, named[older], what, {"fact": older, "superseded_by": event.seq})
        elif event.kind in OUTCOMES:
            for newer in [item["fact"] for item in event.body["facts"]]:
                (carried.add if event.kind == "facts.applied" else carried.discard)(newer)
                replaced = waiting.pop(newer, None) if event.kind == "facts.applied" else None
                if replaced is not None and replaced in named:
                    yield Happening(event, named[replaced], "superseded", {"fact": replaced, "superseded_by": newer})


def _later(named: Mapping[int, LoggedFact], events: Sequence[Event]) -> Iterator[Happening]:
    """What jobs and people did to the facts."""
    experts: dict[str, set[int]] = {}
    for event in events:
        if event.kind in _WORDS:
            for seq, detail in _concerned(event, named, experts):
                yield Happening(event, named[seq], _WORDS[event.kind], detail)


def _ends(con: DuckDBPyConnection, as_of: int, life: Iterable[Happening]) -> Iterator[Happening]:
    """How the jobs ended that took outcomes to the facts."""
    jobs: dict[str, dict[int, LoggedFact]] = {}
    for one in life:
        if one.event.job is not None and _WORDS.get(one.event.kind) == one.what and one.event.kind in OUTCOMES:
            jobs.setdefault(one.event.job, {})[one.fact.seq] = one.fact
    ends = f"seq <= $1 AND {of_kinds(*_OF_ITS_JOB)} AND job IN (SELECT unnest($2::VARCHAR[]))"
    for event in read_events(con, ends, [as_of, list(jobs)]):
        for seq, fact in jobs[event.job or ""].items():
            yield Happening(event, fact, _OF_ITS_JOB[event.kind], {"fact": seq, **event.body})


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
