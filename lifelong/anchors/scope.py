"""The plain data of routing: what goes in (facts in scope terms) and what comes out (decisions)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from editlog.canonical import fold
from lifelong.anchors.subject import Name, NameIndex, guess_name, mask, subject_name
from lifelong.anchors.text import MASK, words
from policies.routing import Evidence


@dataclass(frozen=True)
class ScopedFact:
    """A live fact as the gate sees it: its wordings and its place in the log, never its target.

    `negative` marks a retracted or blocked wording, kept so that it does not fall to a neighbour.
    """

    seq: int
    prompt: str
    subject: str | None = None
    relation: str | None = None
    rephrases: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()
    negative: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True)
class Candidate:
    """One fact considered for a prompt; `negative` ones win only to make it a miss."""

    fact: int
    negative: bool
    anchor: str
    score: float
    threshold: float
    evidence: Evidence


@dataclass(frozen=True)
class Decision:
    """Hit (`fact` is its seq) or miss (None), with what decided it.

    `score` and `threshold` are probabilities, 0 to 1; an exact wording scores 1. `anchor` is the wording
    that came nearest, on a miss too; `candidates`, best first, are filled by `explain` only.
    """

    fact: int | None
    score: float
    threshold: float
    anchor: str | None
    subject: str | None
    candidates: tuple[Candidate, ...] = ()


MAX_ALIKE = 3
"""How many wordings a fact takes from other facts of its relation."""


@dataclass(frozen=True)
class Scope:
    """The wordings of one fact under one name, or of one near miss; `name` is () where none is known.

    `wordings` are the fact's own: each is an exact hit. `alike` are masked texts that word the same relation (its
    name, and how other facts of it are asked): anchors to be near to, and nothing more.
    """

    seq: int
    negative: bool
    name: Name
    wordings: tuple[str, ...]
    relation: str | None = None
    near_miss: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    alike: tuple[str, ...] = ()

    def valid_at(self, moment: datetime) -> bool:
        """Whether it holds in the world at `moment`."""
        return (self.valid_from is None or self.valid_from <= moment) and (
            self.valid_to is None or moment < self.valid_to
        )

    def masked(self) -> list[str]:
        """Its anchors as they are embedded, in order: its wordings without the name, then those alike."""
        return [*(mask_name(wording, self.name) for wording in self.wordings), *self.alike]

    def anchors(self) -> list[str]:
        """Its anchors as people read them, in the same order."""
        return [*self.wordings, *(text.replace(MASK, " ".join(self.name)) for text in self.alike)]


@lru_cache(maxsize=1 << 15)
def mask_name(text: str, name: Name) -> str:
    """`text` with every mention of `name` masked; with its own guess where it does not mention it."""
    found = words(text)
    spans = NameIndex([name]).find(found) or NameIndex([guess_name([text])]).find(found)
    return mask(text, spans)


@lru_cache(maxsize=1 << 15)
def scopes_of(fact: ScopedFact) -> tuple[Scope, ...]:
    """The fact's own scope, then one negative scope for each of its near misses."""
    wordings = tuple({fold(text): text for text in reversed((fact.prompt, *fact.rephrases))}.values())[::-1]
    name = subject_name(fact.subject, wordings)
    own = Scope(
        fact.seq,
        fact.negative,
        name,
        wordings,
        fact.relation,
        valid_from=fact.valid_from,
        valid_to=fact.valid_to,
    )
    return (own, *(_near_miss(fact, name, text) for text in dict.fromkeys(fact.near_misses)))


def with_relations(scopes: Sequence[Scope]) -> list[Scope]:
    """The scopes, those of a named relation with its name and the commonest ways to ask it as further anchors."""
    asked: dict[str, Counter[str]] = defaultdict(Counter)
    for scope in scopes:
        if scope.relation and scope.name and not scope.negative:
            asked[fold(scope.relation)].update({text for text in scope.masked() if MASK in text})
    return [_with_relation(scope, asked) if scope.relation and scope.name else scope for scope in scopes]


def _with_relation(scope: Scope, asked: dict[str, Counter[str]]) -> Scope:
    own = {fold(text) for text in scope.masked()}
    common = asked.get(fold(scope.relation or ""), Counter()).most_common()
    # The commonest first, and among equals by text, so that equal logs make equal gates in any order.
    others = sorted(common, key=lambda item: (-item[1], item[0]))
    taken = [text for text, _ in others if fold(text) not in own][:MAX_ALIKE]
    named = f"{MASK} {scope.relation}"
    return replace(scope, alike=(named, *taken) if fold(named) not in own else tuple(taken))


def _near_miss(fact: ScopedFact, name: Name, text: str) -> Scope:
    names_subject = bool(NameIndex([name]).find(words(text)))
    return Scope(
        fact.seq,
        True,
        name if names_subject else guess_name([text]),
        (text,),
        near_miss=True,
        valid_from=fact.valid_from,
        valid_to=fact.valid_to,
    )
