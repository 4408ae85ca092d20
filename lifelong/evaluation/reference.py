"""What the base says without any edit, to hold the edited model to: plain transformers in another process.

Compare like with like: the same prompts in the same padded batches, through the chat template where the workspace uses
it, the same dtype, device and thread count.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from editlog.errors import LifelongError
from lifelong.evaluation.edited import MAX_NEW_TOKENS, Edited
from lifelong.models.base import EMBEDDED, EMBEDDED_PATH, Base

_SCRIPT = Path(__file__).with_name("plain.py")


class PlainAnswer(NamedTuple):
    """A prompt's greedy answer, and the SHA-256 of the logits of the token after the prompt."""

    text: str
    logits: str


class Reference(Protocol):
    """Answers of the untouched base."""

    def answers(self, batches: Sequence[Sequence[str]]) -> Iterator[list[PlainAnswer]]:
        """The answers of each batch in turn, each batch padded and run as one."""


def digests(logits: Tensor) -> list[str]:
    """The SHA-256 of each row of [rows, vocabulary]: equal where the rows are, bit for bit."""
    raw = logits.contiguous().cpu().view(torch.uint8).numpy()
    return [hashlib.sha256(row).hexdigest() for row in raw]


class SameProcess:
    """The edited model with its edits left out: for a model that no other process can load."""

    def __init__(self, edited: Edited) -> None:
        self._edited = edited

    def answers(self, batches: Sequence[Sequence[str]]) -> Iterator[list[PlainAnswer]]:
        """See `Reference.answers`."""
        for prompts in batches:
            texts = self._edited.generate(prompts, edits=False, max_new_tokens=MAX_NEW_TOKENS)
            logits = digests(self._edited.next_logits(prompts, edits=False))
            yield [PlainAnswer(text, row) for text, row in zip(texts, logits, strict=True)]


class PlainBase:
    """A base loaded by plain transformers in another process, started once for each call of `answers`."""

    def __init__(self, base: Base) -> None:
        self._request = {
            "model": str(EMBEDDED_PATH) if base.name == EMBEDDED else base.name,
            "dtype": str(base.model.dtype).removeprefix("torch."),
            "device": str(base.device),
            "threads": torch.get_num_threads(),
            "chat": base.chat,
            "max_new_tokens": MAX_NEW_TOKENS,
        }

    def answers(self, batches: Sequence[Sequence[str]]) -> Iterator[list[PlainAnswer]]:
        """See `Reference.answers`; raises LifelongError where the other process fails."""
        command = [sys.executable, "-I", str(_SCRIPT)]
        with subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(json.dumps({**self._request, "batches": [list(batch) for batch in batches]}))
            process.stdin.close()
            for line in process.stdout:
                found = json.loads(line)
                yield [PlainAnswer(*row) for row in zip(found["answers"], found["logits"], strict=True)]
            words = process.stderr.read().strip().splitlines()
        if process.returncode:
            raise LifelongError(
                f"plain transformers could not answer for the base {self._request['model']}:"
                f" {words[-1] if words else f'exit code {process.returncode}'}"
            )


class Remembered:
    """A reference that keeps its answers in a file, and asks another only for batches it has not seen.

    The file holds one JSON line a batch under the hash of `identity` (the base's fingerprint, chat or not, threads)
    and the batch; a line that was cut off by a kill is asked for again.
    """

    def __init__(self, inner: Reference, file: Path, *, identity: str) -> None:
        self._inner, self._file, self._identity = inner, file, identity
        self._known = dict(_lines(file))

    def answers(self, batches: Sequence[Sequence[str]]) -> Iterator[list[PlainAnswer]]:
        """See `Reference.answers`."""
        names = [self._name(batch) for batch in batches]
        missing = {name: batch for name, batch in zip(names, batches, strict=True) if name not in self._known}
        if missing:
            found = self._inner.answers(list(missing.values()))
            with self._file.open("a", encoding="utf-8") as file:
                for name, answers in zip(missing, found, strict=True):
                    self._known[name] = answers
                    file.write(json.dumps({"batch": name, "answers": answers}) + "\n")
        yield from (self._known[name] for name in names)

    def _name(self, batch: Sequence[str]) -> str:
        return hashlib.sha256(json.dumps([self._identity, *batch]).encode()).hexdigest()


def _lines(file: Path) -> Iterator[tuple[str, list[PlainAnswer]]]:
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            kept = json.loads(line)
            yield kept["batch"], [PlainAnswer(*answer) for answer in kept["answers"]]
        except (ValueError, KeyError, TypeError):
            continue
