"""A stream of edits: the records of a file in their order, and which of them are scored.

All records are edited. Those of the test half are scored: the SHA-256 hex digest of the prompt, read as an integer,
is even. Nothing that was tuned may have read a probe of that half.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from editlog.errors import LifelongError
from editlog.fact import Fact
from editlog.formats import read_facts
from editlog.lines import Reject
from lifelong.hub import opened

Half = Literal["test", "tuning", "all"]


@dataclass(frozen=True)
class Stream:
    """The first records of a file: the good ones in order, and how many could not be read."""

    name: str
    facts: tuple[Fact, ...]
    rejected: int
    half: Half = "test"

    @property
    def digest(self) -> str:
        """A hash over the facts in order, probes included: what a kept result belongs to."""
        digest = hashlib.sha256(self.half.encode())
        for fact in self.facts:
            digest.update(fact.model_dump_json().encode())
        return digest.hexdigest()

    def is_scored(self, fact: Fact) -> bool:
        """Whether the figures are of this fact, too."""
        return self.half == "all" or half_of(fact.prompt) == self.half


def half_of(prompt: str) -> Half:
    """The half of the record with this prompt."""
    return "tuning" if int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2 else "test"


def read_stream(path: str | Path, *, edits: int | None = None, half: Half = "test") -> Stream:
    """The first `edits` records of a source (None: all), in any format that `ingest` reads.

    Raises UsageError where it cannot be opened, LifelongError where none of its records can be read.
    """
    items = list(read_facts(opened(path, limit=edits), limit=edits))
    facts = tuple(item for item in items if isinstance(item, Fact))
    rejects = [item for item in items if isinstance(item, Reject)]
    if rejects and not facts:
        raise LifelongError(f"no record of {path} can be read; line {rejects[0].line}: {rejects[0].reason}")
    return Stream(Path(path).name, facts, len(rejects), half)
