"""A stream of edits: the records of one file in their order, or of several interleaved, and which of them are scored.

All records are edited. Those of the test half are scored: the SHA-256 hex digest of the prompt, read as an integer,
is even. Nothing that was tuned may have read a probe of that half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from editlog.errors import LifelongError
from editlog.fact import Fact
from editlog.formats import Labelled, read_facts
from editlog.rejects import Reject
from lifelong.evaluation.interleaving import interleaved
from lifelong.hub import opened

Half = Literal["test", "tuning", "all"]


@dataclass(frozen=True)
class Stream:
    """The first records of a file, or of several: the good ones in order, and how many could not be read."""

    name: str
    facts: tuple[Fact, ...]
    rejected: int
    half: Half = "test"
    truths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was true before an edit, by its fact's digest, where the source says so."""

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


def read_stream(
    data: str | Path | Sequence[str | Path],
    *,
    edits: int | None = None,
    half: Half = "test",
    repeats: int = 0,
    contradictions: int = 0,
) -> Stream:
    """The first `edits` records of a source (None: all), in any format that `ingest` reads; several are interleaved.

    `repeats` and `contradictions` are put among them (`interleaving`). Raises UsageError where a source cannot be
    opened or has too few records, LifelongError where none of its records can be read.
    """
    sources = [data] if isinstance(data, str | Path) else list(data)
    alone = len(sources) == 1 and not repeats and not contradictions
    found = [_read(source, edits if alone else None) for source in sources]
    records, rejected = [taught for taught, _ in found], sum(count for _, count in found)
    facts = [one.fact for one in records[0]]
    if not alone:
        streams = [[one.fact for one in taught] for taught in records]
        facts = interleaved(streams, repeats=repeats, contradictions=contradictions)[:edits]
    truths = {one.fact.digest: one.truth for taught in records for one in taught if one.truth}
    return Stream(", ".join(Path(source).name for source in sources), tuple(facts), rejected, half, truths)


def _read(source: str | Path, limit: int | None) -> tuple[list[Labelled], int]:
    """The records of one source, and how many could not be read."""
    items = list(read_facts(opened(source, limit=limit), limit=limit).labelled())
    taught = [item for item in items if isinstance(item, Labelled)]
    rejects = [item for item in items if isinstance(item, Reject)]
    if rejects and not taught:
        raise LifelongError(f"no record of {source} can be read; line {rejects[0].line}: {rejects[0].reason}")
    return taught, len(rejects)
