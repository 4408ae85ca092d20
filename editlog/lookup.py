"""Finding facts by what a person has in hand: a name, an id, a digest, or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from duckdb import DuckDBPyConnection

from editlog.canonical import HASH_TAG, fold
from editlog.derivation import PLAIN_WORDS
from editlog.errors import UsageError
from editlog.events import moment
from editlog.fact import NAMED, PROMPTED
from editlog.history import LoggedFact, Told, read_events, read_told, seqs_of_keys

MIN_PREFIX = 8
_DIGITS = 64
_NAMED_AT_MOST = 5
_NAME = re.compile(r"f([1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_PREFIX = re.compile(rf"(?:{HASH_TAG})?([0-9a-f]{{{MIN_PREFIX},{_DIGITS}}})")
_Condition = tuple[str, Sequence[Any]]
_IS_NAMED, _IS_PROMPTED = (f"key >= '{begin}' AND key < '{begin[:-1]} '" for begin in (NAMED, PROMPTED))


def resolve(con: DuckDBPyConnection, as_of: int, ref: str) -> LoggedFact:
    """The fact that `ref` means; raises UsageError where that is none, or one of several."""
    return resolve_told(con, as_of, ref)[0]


def resolve_told(con: DuckDBPyConnection, as_of: int, ref: str) -> tuple[LoggedFact, Told]:
    """The fact that `ref` means; and all facts of its key, with the events about them. Raises what `resolve` raises."""
    told, wanted = _candidates(con, as_of, ref.strip())
    found = list(filter(wanted, told.facts))
    living = [fact for fact in found if fact.governs] or [fact for fact in found if fact.retracted_by is None]
    for choice in (found, living):
        if len(choice) == 1:
            return choice[0], told
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
    told = read_told(con, as_of, _seqs_like(con, as_of, given))
    return replace(told, facts=[fact for fact in told.facts if _folds_to(fact, given)])


def _seqs_like(con: DuckDBPyConnection, as_of: int, given: Mapping[str, str]) -> list[int]:
    """All facts of each key under which some may have the given, folded words, in log order.

    A key holds words that are folded already: subject and relation, or the prompt where there are not both. Where it
    holds what is asked for, it is compared, and passes whole keys; only in other facts the words themselves are.
    """
    subject, relation, prompt = (given.get(name) for name in ("subject", "relation", "prompt"))
    whole: list[_Condition] = []
    some: list[_Condition] = []
    if subject is not None:
        whole.append(("key >= $2 AND key < $3", [f"{NAMED}{subject}\x1f", f"{NAMED}{subject}\x20"]))
    elif prompt is not None:
        some.append((f"{_IS_NAMED} AND {_may_fold_to('prompt')}", [prompt]))
    else:
        whole.append((f"{_IS_NAMED} AND ends_with(key, $2)", [f"\x1f{relation}"]))
    if prompt is not None:
        whole.append(("key = $2", [f"{PROMPTED}{prompt}"]))
    else:
        name = "relation" if subject is None else "subject"
        some.append((f"{_IS_PROMPTED} AND {_may_fold_to(name)}", [given[name]]))
    seqs = {seq for seq, _ in _matches(con, as_of, whole)}
    keys = {key for _, key in _matches(con, as_of, some)}
    return sorted(seqs.union(seqs_of_keys(con, as_of, sorted(keys))))


def _matches(con: DuckDBPyConnection, as_of: int, conditions: Iterable[_Condition]) -> list[tuple[int, str]]:
    """The (seq, key) of facts up to `as_of` that fulfil any of some conditions, whose parameters count from $2.

    Each is a query of its own: then DuckDB skips what cannot fulfil it, and reads no other column.
    """
    query = "SELECT seq, key FROM texts WHERE seq <= $1 AND "
    return [row for where, words in conditions for row in con.execute(query + where, [as_of, *words]).fetchall()]


def _folds_to(fact: LoggedFact, given: Mapping[str, str]) -> bool:
    return all(fold(getattr(fact.fact, name) or "") == words for name, words in given.items())


def _may_fold_to(column: str) -> str:
    """SQL that passes whatever folds to $2: exact for plain words, everything else is let through."""
    # UTF-8 of plain ASCII is as long in bytes as in characters; line feed and tab are the control characters of facts.
    # Lengths are compared first, for they are at hand: folding takes white space from ASCII, and nothing else.
    spaces = " OR ".join(f"contains({column}, {text})" for text in ("'  '", "chr(9)", "chr(10)"))
    spaced = f"({spaces} OR starts_with({column}, ' ') OR ends_with({column}, ' '))"
    same, odd = f"lower({column}) = $2", f"strlen({column}) <> length({column})"
    return f"""((strlen({column}) = strlen($2) AND {same}) OR (strlen({column}) >= strlen($2) AND {spaced})
        OR ({odd} AND ({same} OR NOT regexp_full_match({column}, '{PLAIN_WORDS}'))))"""


def _candidates(con: DuckDBPyConnection, as_of: int, ref: str) -> tuple[Told, Callable[[LoggedFact], bool]]:
    """All facts of the keys of those that `ref` may mean, and which of them it may mean."""
    name, number, prefix = _NAME.fullmatch(ref), _NUMBER.fullmatch(ref), _PREFIX.fullmatch(ref)
    if name:  # a name is a name, whatever ids people have given
        return _facts(con, as_of, [("seq = $2", [int(name[1])])]), lambda fact: fact.seq == int(name[1])
    conditions: list[_Condition] = [("id = $2", [ref])]
    seq, digits = int(ref) if number else 0, prefix[1] if prefix else ""
    if number:
        conditions.append(("seq = $2", [seq]))
    if digits:
        bounds = [bytes.fromhex(digits.ljust(_DIGITS, end)) for end in "0f"]
        conditions.append(("digest BETWEEN $2 AND $3", bounds))
    return (
        _facts(con, as_of, conditions),
        lambda fact: (
            fact.seq == seq or fact.fact.id == ref or (digits != "" and fact.fact.digest.startswith(HASH_TAG + digits))
        ),
    )


def _facts(con: DuckDBPyConnection, as_of: int, conditions: Iterable[_Condition]) -> Told:
    """The facts of some conditions, folded together with all others of their keys."""
    keys = {key for _, key in _matches(con, as_of, conditions)}
    return read_told(con, as_of, seqs_of_keys(con, as_of, sorted(keys)))
