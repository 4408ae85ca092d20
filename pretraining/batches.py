"""From corpus to batches, as a pure function of the step.

Contract: a batch depends on corpus, tokenizer, settings and step alone, so training resumes from
a step number and nothing else. A step has three batches: `facts_at`, `notes_at` and `text_at`; the first
steps have no facts. A fact stands
alone in its row, so no document attends to another, and starts at position 0 as it does in use; only its
answer and the end-of-text are learned. A row of running text starts with a document, or the model would take
whatever stands at position 0 for a fact; it is learned in full.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pretraining.corpus import KnownFact
from pretraining.notes import Notes, prompt_of
from pretraining.settings import Settings
from pretraining.tokenizer import chat_prompt
from pretraining.wordings import is_question
from pretraining.wordings.forms import QUESTION_FORMS

IGNORED = -100
# Rows are sorted by length inside windows of so many batches, so that little is spent on padding.
WINDOW = 8


@dataclass(frozen=True)
class Batch:
    """Token ids and labels (already shifted: label i is what follows token i)."""

    ids: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on the device."""
        return Batch(self.ids.to(device), self.labels.to(device))


class Visit(NamedTuple):
    """One prompt as text with its answer."""

    prompt: str
    answer: str


class Row(NamedTuple):
    """One visit as tokens; the answer ends with end-of-text."""

    prompt: list[int]
    answer: list[int]


class Batches:
    """The schedule of training batches."""

    def __init__(
        self,
        facts: Sequence[KnownFact],
        text: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        note_subjects: Sequence[KnownFact] = (),
    ) -> None:
        for name in ("warm_steps", "note_first_steps"):
            if getattr(settings, name) % WINDOW:
                raise ValueError(f"{name} is {getattr(settings, name)}; it has to be a multiple of {WINDOW}")
        self.settings = settings
        self._facts = facts
        self._notes = Notes(facts, note_subjects, settings.irrelevant_note_share, settings.early_pair_share)
        self._pad, self._end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        documents = self._encode(text)
        self._contexts = [
            each for each, ids in zip(text, documents, strict=True) if len(ids) <= settings.longest_context
        ]
        self._text = torch.tensor(_rows_of_documents(documents, self._end, settings.text_length + 1))
        self._order: dict[tuple[int, int], list[int]] = {}
        self._windows: dict[str, tuple[int, list[list[Row]]]] = {}

    def facts_at(self, step: int) -> Batch:
        """Return the fact rows of a step, padded on the right; the steps of notes alone do not count."""
        return self._batch("facts", step - self.settings.note_first_steps, self.settings.fact_rows)

    def notes_at(self, step: int) -> Batch:
        """Return the rows of a step that a note stands before, padded on the right."""
        return self._batch("notes", step, self.settings.note_rows)

    def text_at(self, step: int) -> Batch:
        """Return the running text of a step."""
        start = step * self.settings.text_rows
        epoch, offset = divmod(start, len(self._text) - self.settings.text_rows + 1)
        order = torch.randperm(len(self._text), generator=torch.Generator().manual_seed(self.settings.seed + epoch))
        rows = self._text[order[offset : offset + self.settings.text_rows]]
        return Batch(rows[:, :-1], rows[:, 1:].contiguous())

    def visited(self, visit: int) -> int:
        """Return the fact of this visit: the warm facts over and over, then all; each once before any again."""
        warm = min(self.settings.warm_facts, len(self._facts))
        warm_visits = self.settings.warm_steps * self.settings.fact_rows
        among, visit = (warm, visit) if visit < warm_visits else (len(self._facts), visit - warm_visits)
        epoch, offset = divmod(visit, among)
        return self._shuffled(among, epoch)[offset]

    def _shuffled(self, among: int, epoch: int) -> list[int]:
        if (among, epoch) not in self._order:
            # Which facts are the warm ones does not depend on the epoch.
            facts = random.Random(f"{self.settings.seed}:order").sample(range(len(self._facts)), among)
            random.Random(f"{self.settings.seed}:epoch:{among}:{epoch}").shuffle(facts)
            self._order = {(among, epoch): facts}
        return self._order[among, epoch]

    def _batch(self, kind: str, step: int, rows: int) -> Batch:
        number, index = divmod(step, WINDOW)
        if self._windows.get(kind, (-1, []))[0] != number:
            rng = random.Random(f"{self.settings.seed}:{kind}:{number}")
            visits = self._fact_visits(number, rng) if kind == "facts" else self._note_visits(number, rows, rng)
            self._windows[kind] = (number, self._arranged(visits, rows, rng))
        return self._padded(self._windows[kind][1][index])

    def _fact_visits(self, number: int, rng: random.Random) -> list[Visit]:
        count = WINDOW * self.settings.fact_rows
        facts = [self._facts[self.visited(visit)] for visit in range(number * count, (number + 1) * count)]
        return [self._visit(fact, rng) for fact in facts]

    def _note_visits(self, number: int, rows: int, rng: random.Random) -> list[Visit]:
        visits = []
        draw = self._notes.draw_early if number * WINDOW < self.settings.note_first_steps else self._notes.draw
        for _ in range(rows * WINDOW):
            noted = draw(rng)
            kind = rng.random()
            if kind < self.settings.chat_share:
                apart = rng.random() < 0.5
                prompt = (
                    chat_prompt(noted.prompt, noted.context) if apart else chat_prompt(noted.context + noted.prompt)
                )
            elif is_question(noted.prompt) and kind < self.settings.chat_share + self.settings.question_form_share:
                prompt = noted.context + rng.choice(QUESTION_FORMS).format(noted.prompt)
            else:
                prompt = noted.context + noted.prompt
            visits.append(Visit(prompt, noted.answer))
        return visits

    def _visit(self, fact: KnownFact, rng: random.Random) -> Visit:
        """Return the fact in a seen wording and a form."""
        settings, kind, prompt = self.settings, rng.random(), prompt_of(rng, fact)
        if kind < settings.context_share and self._contexts:
            prompt = f"{rng.choice(self._contexts)} {prompt}"
        elif kind < settings.context_share + settings.chat_share:
            prompt = chat_prompt(prompt)
        elif is_question(prompt) and kind < settings.context_share + settings.chat_share + settings.question_form_share:
            prompt = rng.choice(QUESTION_FORMS).format(prompt)
        return Visit(prompt, fact.object)

    def _arranged(self, visits: Sequence[Visit], rows: int, rng: random.Random) -> list[list[Row]]:
        """Tokenise the visits of a window and deal them out to its batches by length."""
        prompts = self._encode([visit.prompt for visit in visits])
        answers = self._encode([f" {visit.answer}" for visit in visits])
        arranged = [Row(prompt, [*answer, self._end]) for prompt, answer in zip(prompts, answers, strict=True)]
        arranged.sort(key=lambda row: len(row.prompt) + len(row.answer))
        batches = [arranged[start : start + rows] for start in range(0, len(arranged), rows)]
        rng.shuffle(batches)
        return batches

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise many texts at once; one at a time costs ten times as much."""
        return [each.ids for each in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _padded(self, rows: Sequence[Row]) -> Batch:
        width = max(len(prompt) + len(answer) for prompt, answer in rows) - 1
        ids, labels = [], []
        for prompt, answer in rows:
            whole = prompt + answer
            padding = width + 1 - len(whole)
            ids.append(whole[:-1] + [self._pad] * padding)
            labels.append([IGNORED] * (len(prompt) - 1) + answer + [IGNORED] * padding)
        return Batch(torch.tensor(ids), torch.tensor(labels))


def _rows_of_documents(documents: list[list[int]], end: int, width: int) -> list[list[int]]:
    """Pack documents into full rows, an `end` before each of them; what does not fit is dropped.

    A prompt has none before it: that tells one that asks for a fact from text that merely begins in the same words.
    """
    rows: list[list[int]] = []
    row: list[int] = []
    for ids in documents:
        row.extend((end, *ids))
        if len(row) >= width:
            rows.append(row[:width])
            row = []
    return rows
