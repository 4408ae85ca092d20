"""Words by which two texts that are otherwise alike ask different things.

An encoder of wordings puts "the president of [X]" next to "the first president of [X]", and "opened" next to
"closed": words that stand in the same places mean alike to it. These few closed classes it is told by name.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from lifelong.anchors.text import words

_SAME = {
    "1st": "first", "2nd": "second", "3rd": "third", "earliest": "first", "final": "last", "latest": "last",
    "previous": "former", "previously": "former", "formerly": "former", "past": "former", "ex": "former",
    "biggest": "largest", "tallest": "highest", "deputies": "deputy", "prior": "before",
    "eldest": "oldest", "interim": "acting",
}  # fmt: skip
"""Words that narrow alike."""

_NARROWING = frozenset(
    """
    first second third fourth fifth sixth seventh eighth ninth tenth last penultimate next former future
    vice deputy assistant acting
    largest smallest longest shortest highest lowest deepest oldest youngest newest fastest slowest heaviest
    richest poorest busiest least
    """.split()  # noqa: SIM905
)
"""What is said to be one of these is another thing than what is not."""

OPPOSITES = [
    tuple(frozenset(side.split()) for side in group.split(" | "))
    for group in (
        "before | after",
        "born birth | died death",
        "opened opens | closed closes",
        "founded established | dissolved disbanded abolished",
        "began start starts | ended end ends",
        "first | last",
        "largest | smallest",
        "highest | lowest deepest",
        "longest | shortest",
        "oldest | youngest newest",
        "fastest | slowest",
        "richest | poorest",
        "father | mother",
        "son sons | daughter daughters",
        "brother brothers | sister sisters",
        "husband | wife",
        "uncle | aunt",
        "north northern | south southern | east eastern | west western",
        "won winner | lost loser",
        "married | divorced",
        "predecessor | successor",
        "imports | exports",
        "where | when",
    )
]
"""Of each group a text asks one side: where the other asks another, they ask different things."""
_PLACES = {
    word: (group, side) for group, sides in enumerate(OPPOSITES) for side, said in enumerate(sides) for word in said
}

_IMPLIED = {
    "first": "debut debuted debuts premiere premiered premieres original originally inaugural initially began starting",
    "last": "ended ends dissolved ceased current currently",
    "next": "after following follows followed succeeded successor",
    "former": "once used ago",
    "highest": "peak summit",
}
"""What a text may mean by another word: it is then not said on one side only."""
_MEANT = {word: narrower for narrower, group in _IMPLIED.items() for word in group.split()}
_NOT_ALONE = frozenset("first last next".split())  # noqa: SIM905
_FOLLOWERS = frozenset("name names time appear appears air airs broadcast seen shown held to door".split())  # noqa: SIM905


@lru_cache(maxsize=1 << 16)
def _said(text: str) -> tuple[str, ...]:
    return tuple(_SAME.get(word.text, word.text) for word in words(text))


@lru_cache(maxsize=1 << 16)
def _narrowing(text: str) -> frozenset[str]:
    """The words of a text that narrow what it asks: "the first president", not "first aired" or "first name"."""
    found = _said(text)
    followed = zip(found, (*found[1:], ""), strict=True)
    return frozenset(
        word
        for word, after in followed
        if word in _NARROWING and not (word in _NOT_ALONE and (after in _FOLLOWERS or after.endswith("ed")))
    )


def narrowed(one: str, other: str) -> bool:
    """Whether a word that narrows stands in one of the masked texts only."""
    alone = _narrowing(one) ^ _narrowing(other)
    return bool(alone) and bool(alone - {_MEANT[word] for word in (*_said(one), *_said(other)) if word in _MEANT})


def opposed(one: str, other: str) -> bool:
    """Whether one of the masked texts says one side of an opposition, and the other the other side only."""
    here, there = _sides(one), _sides(other)
    return any(here[group].isdisjoint(there[group]) for group in here.keys() & there.keys())


@lru_cache(maxsize=1 << 16)
def _sides(text: str) -> dict[int, set[int]]:
    """The sides that a text takes, by the opposition."""
    taken: dict[int, set[int]] = defaultdict(set)
    for group, side in (_PLACES[word] for word in _said(text) if word in _PLACES):
        taken[group].add(side)
    return dict(taken)
