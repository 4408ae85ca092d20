"""Finding facts by what a person has in hand: a name, an id, a digest, or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.canonical import HASH_TAG, fold
from editlog.derivation import PLAIN_WORDS
from editlog.errors import UsageError
from editlog.events import moment
from editlog.history import LoggedFact, Told, read_events, read_told

MIN_PREFIX = 8
_DIGITS = 64
_NAMED_AT_MOST = 5
_NAME = re.compile(r"f([1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_PREFIX = re.compile(rf"(?:{HASH_TAG})?([0-9a-f]{{{MIN_PREFIX},{_DIGITS}}})")


def resolve(con: DuckDBPyConnection, as_of: int, ref: str) -> LoggedFact:
    """The fact that `ref` means; raises UsageError where that is none, or one of several."""
    [fact] = resolve_told(con, as_of, ref).facts
    return fact


def resolve_told(con: DuckDBPyConnection, as_of: int, ref: str) -> Told:
    """The fact that `ref` means, and every event about it; raises what `resolve` raises."""
    told = _candidates(con, as_of, ref.strip())
    found = told.facts
    living = [fact for fact in found if fact.governs] or [fact for fact in found if fact.retracted_by is None]
    for choice in (found, living):
        if len(choice) == 1:
            return replace(told, facts=choice)
    if not found:
        _raise_if_redacted(con, as_of, ref.strip())
        raise UsageError(
            f"no fact is called {ref!r}: give its name (f12), its id, or {MIN_PREFIX} digits of its digest"
        )
    names = ", ".join(f"{fact.ref} ({fact.fact.prompt!r})" for fact in found[:_NAMED_AT_MOST])
    raise UsageError(f"{ref!r} may be any of {len(found)} facts, such as {names}: say which")


def _raise_if_redacted(con: DuckDBPyConnection, as_of: int, ref: str) -> None:
    """Raise UsageError, saying when, why and by whom, where `ref` names a fact whose words were destroyed."""
    name = _NAME.fullmatch(ref)
    for event in read_events(con, "kind = 'fact.redacted' AND seq <= $1", [as_of]) if name else ():
        if name and event.body["fact"] == int(name[1]):
            raise UsageError(
                f"{ref} was redacted on {moment(event.at)[:10]} by {event.actor} ({event.reason}); `lifelong log show"
                f" {event.seq}` is all there is to tell"
            )


def told_where(
    con: DuckDBPyConnection, as_of: int, *, subject: str | None, relation: str | None, prompt: str | None
) -> Told:
    """The facts that have all the given words, compared without case, width or spacing; and every event about them."""
    wanted = {"subject": subject, "relation": relation, "prompt": prompt}
    given = {name: fold(words) for name, words in wanted.items() if words is not None}
    conditions = " AND ".join(f"({_may_fold_to(name, place)})" for place, name in enumerate(given, start=2))
    rows = con.execute(
        f"SELECT key, {', '.join(given)} FROM texts WHERE seq <= $1 AND {conditions}", [as_of, *given.values()]
    ).fetchall()
    folded = tuple(given.values())
    keys = {key for key, *words in rows if tuple(fold(word or "") for word in words) == folded}
    told = read_told(con, as_of, sorted(keys))
    return replace(told, facts=[fact for fact in told.facts if _folds_to(fact, given)])


def _folds_to(fact: LoggedFact, given: Mapping[str, str]) -> bool:
    return all(fold(getattr(fact.fact, name) or "") == words for name, words in given.items())


def _may_fold_to(column: str, place: int) -> str:
    """SQL that passes whatever folds to parameter `place`: exact for plain words, everything else is let through."""
    # UTF-8 of plain ASCII is as long in bytes as in characters; line feed and tab are the control characters of facts.
    # Lengths are compared first, for they are at hand: folding takes white space from ASCII, and nothing else.
    spaces = " OR ".join(f"contains({column}, {text})" for text in ("'  '", "chr(9)", "chr(10)"))
    spaced = f"({spaces} OR starts_with({column}, ' ') OR ends_with({column}, ' '))"
    same = f"lower({column}) = ${place}"
    length = f"strlen({column}) - strlen(${place})"
    return f"""CASE WHEN strlen({column}) <> length({column})
        THEN {same} OR NOT regexp_full_match({column}, '{PLAIN_WORDS}')
        ELSE ({length} = 0 AND {same}) OR ({length} >= 0 AND {spaced}) END"""


def _candidates(con: DuckDBPyConnection, as_of: int, ref: str) -> Told:
    name, number, prefix = _NAME.fullmatch(ref), _NUMBER.fullmatch(ref), _PREFIX.fullmatch(ref)
    if name:  # a name is a name, whatever ids people have given
        return _facts(con, as_of, "seq = $1", [int(name[1])], lambda fact: fact.seq == int(name[1]))
    seq, digits = int(ref) if number else 0, prefix[1] if prefix else ""
    where, parameters = "seq = $1 OR id = $2", [seq, ref]
    if digits:
        where += " OR digest BETWEEN $3 AND $4"
        parameters += [bytes.fromhex(digits.ljust(_DIGITS, end)) for end in "0f"]
    return _facts(
        con,
        as_of,
        where,
        parameters,
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
) -> Told:
    """The facts of an SQL condition, folded together with all others of their keys."""
    keys = con.execute(f"SELECT DISTINCT key FROM texts WHERE {where}", list(parameters)).fetchall()
    told = read_told(con, as_of, [key for (key,) in keys])
    return replace(told, facts=list(filter(wanted, told.facts)))
