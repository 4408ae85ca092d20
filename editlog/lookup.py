"""Finding facts by what a person has in hand, and telling all that ever happened to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.canonical import HASH_TAG, fold
from editlog.errors import UsageError
from editlog.events import Event
from editlog.history import OUTCOMES, LoggedFact, read_events, read_facts

MIN_PREFIX = 8
_ENDORSED = ("facts.signed", "fact.approved", "fact.rejected")
_LATER = [*OUTCOMES, *_ENDORSED, "fact.retracted", "fact.redacted", "experts.retired"]
_NAMED_AT_MOST = 5
_NAME = re.compile(r"f([1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_PREFIX = re.compile(rf"(?:{HASH_TAG})?([0-9a-f]{{{MIN_PREFIX},64}})")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event in the life of one fact; `detail` is the part of the event's body that is about the fact."""

    event: Event
    fact: LoggedFact
    detail: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The happening as plain JSON data, with the words of the fact."""
        return {
            **self.event.to_dict(),
            "body": self.detail,
            "fact": self.fact.ref,
            "prompt": self.fact.fact.prompt,
            "target": self.fact.fact.target,
        }


def resolve(con: DuckDBPyConnection, as_of: int, ref: str) -> LoggedFact:
    """The fact that `ref` means; raises UsageError where that is none, or one of several."""
    found = _candidates(con, as_of, ref.strip())
    living = [fact for fact in found if fact.governs] or [fact for fact in found if fact.retracted_by is None]
    for choice in (found, living):
        if len(choice) == 1:
            return choice[0]
    if not found:
        raise UsageError(
            f"no fact is called {ref!r}: give its name (f12), its id, or {MIN_PREFIX} digits of its digest"
        )
    names = ", ".join(f"{fact.ref} ({fact.fact.prompt!r})" for fact in found[:_NAMED_AT_MOST])
    raise UsageError(f"{ref!r} may be any of {len(found)} facts, such as {names}: say which")


def facts_where(
    con: DuckDBPyConnection, as_of: int, *, subject: str | None, relation: str | None, prompt: str | None
) -> list[LoggedFact]:
    """The facts that have all the given words, compared without case, width or spacing."""
    wanted = {"subject": subject, "relation": relation, "prompt": prompt}
    given = {name: fold(words) for name, words in wanted.items() if words is not None}
    rows = con.execute(
        f"SELECT key, {', '.join(given)} FROM texts WHERE seq <= $1",
        [as_of],
    ).fetchall()
    folded = tuple(given.values())
    keys = {key for key, *words in rows if tuple(fold(word or "") for word in words) == folded}
    return [
        fact
        for fact in read_facts(con, as_of, sorted(keys))
        if all(fold(getattr(fact.fact, name) or "") == words for name, words in given.items())
    ]


def happenings(con: DuckDBPyConnection, as_of: int, facts: Iterable[LoggedFact]) -> list[Happening]:
    """Every event about the facts, in log order."""
    named = {fact.seq: fact for fact in facts}
    experts: dict[str, set[int]] = {}
    told: list[Happening] = []
    puts = "kind = 'fact.put' AND seq IN (SELECT unnest($2::BIGINT[]))"
    later = "kind IN (SELECT unnest($3::VARCHAR[]))"
    events = read_events(con, f"seq <= $1 AND (({puts}) OR {later})", [as_of, list(named), _LATER])
    for event in events:
        for seq, detail in _concerned(event, named, experts):
            told.append(Happening(event, named[seq], detail))
    return told


def _concerned(
    event: Event, named: dict[int, LoggedFact], experts: dict[str, set[int]]
) -> list[tuple[int, dict[str, Any]]]:
    """Which of the named facts an event is about, and what it says of each; notes who carried them."""
    if event.kind == "fact.put":
        return [(event.seq, event.body)]
    if event.kind == "experts.retired":
        gone = [(seq, expert) for expert in event.body["experts"] for seq in sorted(experts.get(expert, ()))]
        return [(seq, {"expert": expert}) for seq, expert in gone]
    items = event.body.get("facts", [event.body])
    items = [item for item in items if item["fact"] in named]
    for item in items:
        if "expert" in item:
            experts.setdefault(item["expert"], set()).add(item["fact"])
    return [(item["fact"], item) for item in items]


def _candidates(con: DuckDBPyConnection, as_of: int, ref: str) -> list[LoggedFact]:
    name, number, prefix = _NAME.fullmatch(ref), _NUMBER.fullmatch(ref), _PREFIX.fullmatch(ref)
    if name:  # a name is a name, whatever ids people have given
        return _facts(con, as_of, "seq = $1", [int(name[1])], lambda fact: fact.seq == int(name[1]))
    seq, digits = int(ref) if number else 0, prefix[1] if prefix else ""
    return _facts(
        con,
        as_of,
        "seq = $1 OR id = $2 OR ($3 <> '' AND starts_with(lower(hex(digest)), $3))",
        [seq, ref, digits],
        lambda fact: (
            fact.seq == seq or fact.fact.id == ref or (digits != "" and fact.fact.digest.startswith(HASH_TAG + digits))
        ),
    )


def _facts(
    con: DuckDBPyConnection,
    as_of: int,
    where: str,
    parameters: Sequence[Any],
    wanted: Callable[[LoggedFact], bool],
) -> list[LoggedFact]:
    """The facts of an SQL condition, folded together with all others of their keys."""
    keys = con.execute(f"SELECT DISTINCT key FROM texts WHERE {where}", list(parameters)).fetchall()
    return [fact for fact in read_facts(con, as_of, [key for (key,) in keys]) if wanted(fact)]
