"""Out-of-scope prompts made from the log itself, to calibrate the gate on.

Each says which scopes are excused: all that might rightly take the prompt. Any other that takes it is a
false hit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from lifelong.anchors.scope import Scope
from lifelong.anchors.subject import Name, NameIndex
from lifelong.anchors.text import words
from lifelong.withheld import may_be_made

MAX_EACH = 1024


@dataclass(frozen=True)
class Negative:
    """A prompt, the positions of the scopes that could rightly take it, and of the one whose wording it is."""

    prompt: str
    excused: frozenset[int]
    source: int


def make_negatives(scopes: Sequence[Scope], seed: int = 0) -> list[Negative]:
    """Negatives of three kinds, at most MAX_EACH each.

    - the users' near misses, put to the gate as if they had not been listed;
    - same subject, other relation: a wording of one labelled relation with the subject of another fact
      swapped in;
    - other subject: a fact's own wording, its whole subject excused.
    """
    draw = Random(seed)  # noqa: S311  a sample, not a secret
    own = [i for i, scope in enumerate(scopes) if not scope.negative]
    by_name: dict[Name, list[int]] = defaultdict(list)
    for i in own:
        by_name[scopes[i].name].append(i)
    near = [i for i, scope in enumerate(scopes) if scope.near_miss]
    labelled = [i for i in own if scopes[i].relation and scopes[i].name]
    return [
        *(Negative(scopes[i].wordings[0], frozenset([i]), i) for i in _some(near, draw)),
        *_swapped(scopes, labelled, by_name, draw),
        *(Negative(scopes[i].wordings[0], frozenset(by_name[scopes[i].name]), i) for i in _some(own, draw)),
    ]


def _some(positions: list[int], draw: Random) -> list[int]:
    return draw.sample(positions, min(len(positions), MAX_EACH))


def _swapped(
    scopes: Sequence[Scope], labelled: list[int], by_name: dict[Name, list[int]], draw: Random
) -> list[Negative]:
    out = []
    for i in _some(labelled, draw):
        giver_at = draw.choice(labelled)
        taker, giver = scopes[i], scopes[giver_at]
        prompt = _with_name(giver, taker)
        if prompt and giver.relation != taker.relation and giver.name != taker.name and may_be_made(prompt):
            excused = [j for j in by_name[taker.name] if scopes[j].relation in (None, giver.relation)]
            out.append(Negative(prompt, frozenset(excused), giver_at))
    return out


def _with_name(giver: Scope, taker: Scope) -> str | None:
    """The giver's first wording about the taker's subject, written as the taker's own wording writes it."""
    there, here = giver.wordings[0], taker.wordings[0]
    gap = NameIndex([giver.name]).find(words(there))
    name = NameIndex([taker.name]).find(words(here))
    if not gap or not name:
        return None
    return there[: gap[0].start] + here[name[0].start : name[0].end] + there[gap[0].end :]
