"""How a relation is put into words: ParaRel's patterns, our own statements and our own questions.

Contract: a wording is a template with `[X]` for the subject; the answer follows it after one space.
`wordings_of` and `triple_wordings` say for every relation which are trained on and which are held out, the
same on every machine. ParaRel's facts of the relations in `HELD_OUT_RELATIONS`, and Wikidata's of their
labels, are never trained on.
"""

import re
from dataclasses import dataclass

from pretraining.wordings import labels
from pretraining.wordings.questions import QUESTIONS
from pretraining.wordings.statements import STATEMENTS

# ParaRel's relations that are never trained on, with the labels that Wikidata's triples give them.
HELD_OUT_RELATIONS = {
    "P190": "twinned administrative body",
    "P530": "diplomatic relation",
    "P740": "location of formation",
    "P937": "work location",
}
# The last so many of our own statements and of our questions are held out.
HELD_OUT = 2

_ENDS_WITH_OBJECT = re.compile(r"\s*\[Y\]\s*\.?\s*$")


@dataclass(frozen=True)
class Wordings:
    """The templates of one relation: trained on, and held out."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...]


def is_question(wording: str) -> bool:
    """Say whether a wording or prompt asks (a question, or a request to name or tell)."""
    return wording.rstrip().endswith(("?", "."))


def statement_prompt(pattern: str) -> str | None:
    """Turn a ParaRel pattern into a prompt, or None where the object is not its end."""
    match = _ENDS_WITH_OBJECT.search(pattern)
    if match is None or "[X]" not in pattern[: match.start()]:
        return None
    prompt = " ".join(pattern[: match.start()].split())
    return prompt[0].upper() + prompt[1:]


def wordings_of(patterns: dict[str, list[str]]) -> dict[str, Wordings]:
    """Split every relation that is trained on into wordings seen and held out."""
    found: dict[str, Wordings] = {}
    for relation, questions in QUESTIONS.items():
        own = STATEMENTS[relation]
        held_out = (*own[-HELD_OUT:], *questions[-HELD_OUT:])
        from_patterns = [prompt for pattern in patterns[relation] if (prompt := statement_prompt(pattern))]
        candidates = dict.fromkeys([*from_patterns, *own, *questions])
        found[relation] = Wordings(tuple(each for each in candidates if each not in held_out), held_out)
    return found


def triple_wordings(label: str) -> Wordings | None:
    """Put a Wikidata label into words; None where it has no noun, or is the label of a held-out relation."""
    noun = None if label in HELD_OUT_RELATIONS.values() else labels.noun_of(label)
    if noun is None:
        return None
    seen, held_out = (
        tuple(wording.replace("[R]", noun) for wording in wordings) for wordings in (labels.SEEN, labels.HELD_OUT)
    )
    return Wordings(seen, held_out)
