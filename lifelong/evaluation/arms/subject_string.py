"""The subject-string gate: a prompt that names a fact's subject goes to that fact, whatever it asks.

Of several facts about the subject, the one whose prompt shares most words with the question, then the latest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from lifelong.anchors.subject import Name, NameIndex, subject_name
from lifelong.anchors.text import content_words, words
from lifelong.editors.routers import Routed
from lifelong.evaluation.arms import Setting, decided, routed_by
from lifelong.evaluation.edited import Edited
from lifelong.experts.bank import Route
from lifelong.models.edited import EditedModel

NAME = "subject string"


class _BySubject:
    scoped = True

    def __init__(self, edited: EditedModel) -> None:
        self._edited = edited
        self._facts: dict[Name, list[tuple[int, frozenset[str]]]] = defaultdict(list)
        for seq, served in edited.facts.items():
            if served.expert:
                name = subject_name(served.fact.subject, served.fact.wordings)
                self._facts[name].append((seq, content_words(served.fact.prompt)))
        self._index = NameIndex(self._facts)

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        found = [self._fact(prompt) for prompt in prompts]
        return [decided(None) if seq is None else decided(seq, self.route_to(seq)) for seq in found]

    def _fact(self, prompt: str) -> int | None:
        asked = content_words(prompt)
        about = [fact for span in self._index.find(words(prompt)) for fact in self._facts[span.name]]
        return max(about, key=lambda fact: (len(asked & fact[1]), fact[0]))[0] if about else None

    def route_to(self, seq: int) -> Route:
        return self._edited.router.route_to(seq)


def build(setting: Setting) -> Edited:
    """The recipe's experts behind string matching."""
    return routed_by(setting.edited, _BySubject(setting.edited))
