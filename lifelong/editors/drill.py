"""The drill: what a base is aligned on to obey notes, made of facts in a corpus or of what the base writes itself.

A line of a corpus is a fact's record (JSON with `prompt` and `target`) or running text, whose first sentence is cut
before its last word. In three lessons of four the note gives a prompt another statement's target, and that is to be
said; in the fourth it is about something else, and what the base says by itself is to be said.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random

from editlog.canonical import canonical_json, sha256, tag
from editlog.errors import UsageError
from lifelong.editors import Lesson
from lifelong.editors.notes import note_text
from lifelong.editors.preparation import Corpus, prepared
from lifelong.editors.state import State
from lifelong.models.base import Base

_SENTENCE = re.compile(r"([^.!?\n]{12,240})(?:[.!?]|$)")
_LEAST_WORDS = 4
_OWN_TOKENS = 12
"""What a base says by itself counts only if it ended within so many tokens: nobody is to learn to stop midway."""

Statement = tuple[str, str]


@dataclass(frozen=True)
class Drill(Corpus):
    """Lessons, in the order in which they are learned: a corpus that is neither read nor generated any more."""

    lessons: tuple[Lesson, ...] = ()

    def digest(self) -> str:
        """What names the drill: a hash over its lessons."""
        return sha256(b"lifelong/drill/v1\x00", *(lesson.digest.encode() for lesson in self.lessons)).hex()

    def texts(self, base: Base) -> list[str]:
        """What each lesson says, its note included."""
        return [f"{lesson.prompt} {lesson.target}" for lesson in self.lessons]


def drill(base: Base, corpus: Corpus, *, form: str, count: int, seed: int) -> Drill:
    """`count` lessons whose prompts begin with a note in `form`; drawn with `seed`, made once per base and corpus.

    Raises UsageError where the corpus gives no two statements with different targets.
    """

    def learn(texts: list[str]) -> State:
        return State({}, meta={"lessons": _lessons(base, texts, form, count, Random(seed))})  # noqa: S311 - no secret

    dials = {"form": form, "count": count, "seed": seed}
    meta = prepared(base, corpus, what="drill", dials=dials, learn=learn).meta or {}
    return Drill(lessons=tuple(_lesson(prompt, target) for prompt, target in meta["lessons"]))


def statements_in(texts: list[str]) -> list[Statement]:
    """A prompt and its target for each text that has one, no prompt twice."""
    found = dict(one for text in texts if (one := _statement(text)))
    return list(found.items())


def _statement(text: str) -> Statement | None:
    if text.startswith("{"):
        try:
            record = json.loads(text)
        except ValueError:
            return None
        prompt, target = record.get("prompt"), record.get("target")
        return (prompt, target) if isinstance(prompt, str) and isinstance(target, str) and prompt and target else None
    sentence = _SENTENCE.search(text)
    words = sentence[1].split() if sentence else []
    return (" ".join(words[:-1]), words[-1]) if len(words) >= _LEAST_WORDS else None


def _lessons(base: Base, texts: list[str], form: str, count: int, draw: Random) -> list[Statement]:
    statements = [one for one in statements_in(texts) if base.fits(note_text(*one, form) + " ".join(one))]
    draw.shuffle(statements)
    statements = statements[:count]
    if len({target for _, target in statements}) < 2:
        raise UsageError("the corpus holds no two statements with different ends to align on; give another (--corpus)")
    own = dict(
        zip((prompt for prompt, _ in statements), _said(base, [prompt for prompt, _ in statements]), strict=True)
    )
    made = []
    for number in range(count):
        prompt, target = statements[number % len(statements)]
        told = draw.choice([other for _, other in statements if other != target])
        about = draw.choice([other for other, _ in statements if other != prompt])
        if number % 4 == 3 and own[prompt]:
            made.append((note_text(about, told, form) + prompt, own[prompt]))
        else:
            made.append((note_text(prompt, told, form) + prompt, told))
    return made


def _said(base: Base, prompts: list[str]) -> list[str]:
    """What the base says by itself to each prompt; empty where it came to no end."""
    answers = [text.strip() for text in base.generate(prompts, max_new_tokens=_OWN_TOKENS)]
    return [one if one and len(base.prompt_ids(one)) < _OWN_TOKENS else "" for one in answers]


def _lesson(prompt: str, target: str) -> Lesson:
    return Lesson(tag(sha256(b"lifelong/lesson/v1\x00", canonical_json([prompt, target]))), prompt, target)
