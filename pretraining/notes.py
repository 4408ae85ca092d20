"""Notes in the context: a sentence that says something of a subject, and a prompt that it bears upon or not.

Contract: subjects that `is_held_out` names, held-out wordings and the held-out note forms never stand in a
training note, so obeying can be measured on what training never showed. A note about the fact asked changes
the answer to what the note says; any other note leaves the model's own answer.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pretraining.corpus import PARAREL, KnownFact
from pretraining.wordings import is_question
from pretraining.wordings.forms import NOTE_FORMS_HELD_OUT, NOTE_FORMS_SEEN

# Among the questions that measure obedience: what a chat message asks, and the notes that change nothing.
CHAT = ("chat",)
IRRELEVANT = ("other_subject", "other_relation")

_HELD_OUT_EVERY = 10
# Of the notes that bear upon the prompt, so many say what is true anyway.
_TRUE_SHARE = 0.1
# Of the rest: another subject, another relation of the same subject, or two notes of which one is relevant.
_OTHER_SUBJECT, _OTHER_RELATION = 0.4, 0.3

# Relations of a person, and groups of relations whose wordings are near enough to answer one another.
_OF_PERSONS = frozenset(
    ("P101", "P103", "P106", "P108", "P1303", "P136", "P140", "P1412", "P19", "P20", "P27", "P264", "P39", "P413")
)
_ALIKE = (
    "P103 P1412 P37 P364 P407",
    "P106 P101 P39 P413 P1303 P136",
    "P108 P463 P264 P361",
    "P131 P17 P276 P30 P159 P47 P1001 P495 P36 P1376",
    "P19 P20 P27",
    "P176 P178 P127 P138 P449",
)
_GROUP = {relation: number for number, group in enumerate(_ALIKE) for relation in group.split()}


class Noted(NamedTuple):
    """A prompt with what stands before it, and the answer that is right there."""

    context: str
    prompt: str
    answer: str


def is_held_out(subject: str) -> bool:
    """Say whether no training note speaks of this subject."""
    return hashlib.sha256(subject.encode()).digest()[0] % _HELD_OUT_EVERY == 0


def sentence(wording: str, answer: str) -> str:
    """Return the note's sentence: the wording with its answer, ended."""
    return f"{wording} {answer}."


class Notes:
    """Draws notes about known facts and about subjects outside the list."""

    def __init__(
        self, facts: Sequence[KnownFact], outside: Sequence[KnownFact], irrelevant_share: float, pair_share: float
    ) -> None:
        self._irrelevant_share = irrelevant_share
        self._pair_share = pair_share
        self._known = [fact for fact in facts if not is_held_out(fact.subject)]
        self._changeable = [fact for fact in (*self._known, *outside) if fact.others and not is_held_out(fact.subject)]
        self._of_relation: dict[str, list[KnownFact]] = defaultdict(list)
        for fact in self._changeable:
            self._of_relation[fact.relation].append(fact)
        self._wordings = [fact for fact in self._changeable if fact.source == PARAREL]

    @property
    def are_there(self) -> bool:
        """Say whether there is anything to draw from."""
        return bool(self._changeable)

    def draw(self, rng: random.Random) -> Noted:
        """Return a note with a prompt and its answer; training forms and seen wordings alone."""
        if rng.random() >= self._irrelevant_share:
            fact = rng.choice(self._changeable)
            told = fact.object if rng.random() < _TRUE_SHARE else rng.choice(fact.others)
            return self._noted(rng, [self._note(rng, fact, told)], fact, told)
        kind = rng.random()
        if kind < _OTHER_SUBJECT + _OTHER_RELATION:
            fact = rng.choice(self._known)
            note = self._of_other_subject(rng, fact) if kind < _OTHER_SUBJECT else self._of_other_relation(rng, fact)
            return self._noted(rng, [note], fact, fact.object)
        return self._pair(rng)

    def draw_early(self, rng: random.Random) -> Noted:
        """Return a note that bears upon the prompt, alone or beside one of another subject: nothing to be recited."""
        if rng.random() < self._pair_share:
            return self._pair(rng)
        fact = rng.choice(self._changeable)
        told = rng.choice(fact.others)
        return self._noted(rng, [self._note(rng, fact, told)], fact, told)

    def _pair(self, rng: random.Random) -> Noted:
        fact = rng.choice(self._changeable)
        told = rng.choice(fact.others)
        pair = [self._note(rng, fact, told), self._of_other_subject(rng, fact)]
        rng.shuffle(pair)
        return self._noted(rng, pair, fact, told)

    def _noted(self, rng: random.Random, notes: list[str], fact: KnownFact, answer: str) -> Noted:
        form = rng.choice(NOTE_FORMS_SEEN)
        return Noted("".join(form.format(note) for note in notes), prompt_of(rng, fact), answer)

    def _note(self, rng: random.Random, fact: KnownFact, told: str) -> str:
        statements = [wording for wording in fact.seen if not is_question(wording)]
        return sentence(rng.choice(statements or fact.seen), told)

    def _of_other_subject(self, rng: random.Random, fact: KnownFact) -> str:
        """Say something of another subject, mostly of the same relation."""
        alike = self._of_relation[fact.relation] if rng.random() < 0.7 else self._changeable
        other = rng.choice(alike) if alike else rng.choice(self._changeable)
        if other.subject == fact.subject:
            other = rng.choice([each for each in self._changeable[:50] if each.subject != fact.subject])
        return self._note(rng, other, rng.choice(other.others))

    def _of_other_relation(self, rng: random.Random, fact: KnownFact) -> str:
        """Say something of the same subject that does not bear upon the fact."""
        for _ in range(20):
            other = rng.choice(self._wordings) if self._wordings else fact
            far = _GROUP.get(other.relation) != _GROUP.get(fact.relation)
            if far and (other.relation in _OF_PERSONS) == (fact.relation in _OF_PERSONS):
                return self._note(rng, other, rng.choice(other.others)).replace(other.subject, fact.subject)
        return self._of_other_subject(rng, fact)


def held_out_questions(facts: Sequence[KnownFact], seed: int) -> dict[str, list[Noted]]:
    """Return what measures obedience: notes, of subjects that no training note speaks of, by what is asked of them.

    `seen`: wordings and note forms of training. The rest ask in held-out wordings after a held-out note form:
    `held_out` and, as a user's message, `chat` a note that bears upon the prompt; `other_subject` one that
    says it of another subject, `other_relation` one that says something else of the subject.
    """
    there = [fact for fact in facts if is_held_out(fact.subject) and fact.others and fact.held_out]
    found: dict[str, list[Noted]] = {name: [] for name in ("seen", "held_out", *CHAT, *IRRELEVANT)}
    for fact in there:
        rng = random.Random(f"{seed}:note:{fact.relation}:{fact.subject}")
        told = rng.choice(fact.others)
        asked = rng.choice(fact.held_out)
        other = rng.choice(
            [each for each in there if each.relation == fact.relation and each.subject != fact.subject] or there
        )
        far = rng.choice([each for each in there if _GROUP.get(each.relation) != _GROUP.get(fact.relation)] or there)
        about = {
            "held_out": _held_out_note(rng, fact, told),
            "chat": _held_out_note(rng, fact, told),
            "other_subject": _held_out_note(rng, other, rng.choice(other.others)),
            "other_relation": _held_out_note(rng, far, rng.choice(far.others)).replace(far.subject, fact.subject),
        }
        form = rng.choice(NOTE_FORMS_SEEN)
        statements = [wording for wording in fact.seen if not is_question(wording)] or list(fact.seen)
        context = form.format(sentence(rng.choice(statements), told))
        found["seen"].append(Noted(context, prompt_of(rng, fact), told))
        for name, context in about.items():
            found[name].append(Noted(context, asked, fact.object if name in IRRELEVANT else told))
    return found


def _held_out_note(rng: random.Random, fact: KnownFact, told: str) -> str:
    statements = [wording for wording in fact.held_out if not is_question(wording)] or list(fact.held_out)
    return rng.choice(NOTE_FORMS_HELD_OUT).format(sentence(rng.choice(statements), told))


def prompt_of(rng: random.Random, fact: KnownFact) -> str:
    """Draw a seen wording of the fact, question or statement equally often."""
    asks = rng.random() < 0.5
    return rng.choice([wording for wording in fact.seen if is_question(wording) == asks] or fact.seen)
