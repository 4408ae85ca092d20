"""Views: the rows an expert is trained on, made from its lessons.

A lesson gives one row for each wording; where it has few rephrases, its prompt again behind short lead-ins (so
that an edit does not hang on standing first); and near misses on which the base's own prediction is to stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifelong.editors import Lesson, Wave
from lifelong.models.base import Base
from lifelong.withheld import may_be_made

# Plain lead-ins of a few tokens; which one a wording gets depends on its place alone, so a wave is reproducible.
LEAD_INS = (
    "Here is what we know.",
    "It was a quiet day in the city.",
    "The book has a new chapter.",
    "They met again in the summer.",
    "He then left for the north.",
    "The first report came in May.",
    "Many people read it at the time.",
    "She had been there before.",
)


@dataclass(frozen=True)
class Row:
    """Token ids for one expert: `prompt` is read, `answer` (empty for a near miss) is to be predicted.

    `informed` is the prompt behind a sentence that states the fact; a row that stands `beside` the fact is trained,
    and says nothing of whether the fact is learnt.
    """

    expert: int
    prompt: tuple[int, ...]
    answer: tuple[int, ...] = ()
    informed: tuple[int, ...] = ()
    beside: bool = False


def wave_rows(base: Base, wave: Wave, *, contexts: int, near_misses: int, informed: bool = False) -> list[Row]:
    """All rows of a wave: for each expert its wordings, its prompts behind lead-ins, and near misses."""
    borrowed = _Borrowed(wave.lessons)
    rows: list[Row] = []
    for expert, group in enumerate(wave.groups):
        for lesson in group:
            rows.extend(_answer_rows(base, expert, lesson, contexts, informed))
            prompts = (*lesson.near_misses, *borrowed.near(lesson))[:near_misses]
            rows.extend(Row(expert, tuple(base.prompt_ids(prompt))) for prompt in prompts)
    return rows


def _answer_rows(base: Base, expert: int, lesson: Lesson, contexts: int, informed: bool) -> list[Row]:
    wanted = max(0, contexts - len(lesson.rephrases))
    leads = [f"{LEAD_INS[i % len(LEAD_INS)]} {lesson.prompt}" for i in range(wanted)]
    wordings = [(wording, wording) for wording in lesson.wordings] + [(lead, lesson.prompt) for lead in leads]
    note = f"{lesson.prompt} {lesson.target}."
    return [
        Row(
            expert,
            tuple(base.prompt_ids(text)),
            tuple(base.answer_ids(wording, lesson.target)),
            tuple(base.prompt_ids(f"{note} {text}")) if informed else (),
        )
        for text, wording in wordings
    ]


class _Borrowed:
    """Near misses that the wave's own lessons lend each other.

    The same relation of another subject: another lesson's prompt. The same subject under another relation:
    another lesson's prompt with this subject put in.
    """

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self._lessons = lessons
        self._place = {lesson.digest: place for place, lesson in enumerate(lessons)}

    def near(self, lesson: Lesson) -> list[str]:
        """At most two prompts, from the lessons that stand next to this one (grouping put similar ones there)."""
        if not lesson.subject:
            return []
        place, count = self._place[lesson.digest], len(self._lessons)
        neighbours = (self._lessons[(place + step) % count] for step in (1, count // 2) if step % count)
        return [made for other in neighbours if (made := self._made(lesson, other)) is not None]

    @staticmethod
    def _made(lesson: Lesson, other: Lesson) -> str | None:
        if not other.subject or other.subject == lesson.subject or lesson.subject is None:
            return None
        swapped = other.prompt.replace(other.subject, lesson.subject)
        same_relation = swapped in lesson.wordings or bool(lesson.relation and lesson.relation == other.relation)
        prompt = other.prompt if same_relation else swapped
        return prompt if prompt not in lesson.wordings and may_be_made(prompt) else None
