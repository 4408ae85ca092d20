"""Pools: prompts from elsewhere that no edit of the stream is about, thousands of them.

A false-hit rate of one in a thousand cannot be told from a few hundred probes. A pool is a file of records: of facts in
any format that `ingest` reads, of questions (`question`), of triples (`subject`, `relation`, `object`; ParaRel's
patterns word those of its relations), or plain lines of text.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from editlog.canonical import fold
from editlog.errors import UsageError
from editlog.fact import Fact
from lifelong.anchors.subject import NameIndex, subject_name
from lifelong.anchors.text import words

DATA_VARIABLE = "LIFELONG_DATA"
SHIPPED = ("nq-questions-4850.jsonl", "pararel-facts.jsonl", "wikidata-triples.jsonl")
MOST = 10_000
_PATTERNS = "pararel-patterns.jsonl"


def data_file(name: str) -> Path | None:
    """A file of the public data under LIFELONG_DATA; None where it is not there."""
    folder = os.environ.get(DATA_VARIABLE)
    path = Path(folder, name) if folder else None
    return path if path and path.is_file() else None


def pool_files(given: Sequence[Path]) -> list[Path]:
    """The pools to use: those given, else those of the public data; raises UsageError where there are none."""
    found = list(given) or [path for name in SHIPPED if (path := data_file(name))]
    if not found:
        raise UsageError(f"there are no pools: name files with --pool, or the public data's folder in {DATA_VARIABLE}")
    return found


def read_pool(path: Path, *, seed: int = 0, most: int = MOST) -> list[str]:
    """The different prompts of a pool, at most `most` of them drawn by seed; raises UsageError for one without any."""
    prompts = list(dict.fromkeys(_prompts(path)))
    if not prompts:
        raise UsageError(f"no prompt can be read from the pool {path}")
    draw = random.Random(seed)  # noqa: S311 - a sample, not a secret
    return draw.sample(prompts, most) if len(prompts) > most else prompts


def outside(prompts: Sequence[str], facts: Sequence[Fact]) -> list[str]:
    """The prompts that no fact governs: that are no fact's wording and name no fact's subject."""
    wordings = {fold(wording) for fact in facts for wording in fact.wordings}
    names = NameIndex(subject_name(fact.subject, fact.wordings) for fact in facts)
    return [prompt for prompt in prompts if fold(prompt) not in wordings and not names.find(words(prompt))]


def _prompts(path: Path) -> Iterator[str]:
    patterns = _patterns(path.with_name(_PATTERNS))
    for record in _records(path.read_text(encoding="utf-8")):
        if prompt := record.strip() if isinstance(record, str) else _prompt(record, patterns):
            yield prompt


def _records(text: str) -> Iterator[Any]:
    """The items of a JSON array, else those of JSON lines; a line that is no JSON stands for itself."""
    if text.lstrip().startswith("["):
        yield from json.loads(text)
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield line


def _prompt(record: Any, patterns: Mapping[str, str]) -> str | None:
    if not isinstance(record, dict):
        return None
    for field in ("prompt", "question", "src", "text"):
        if isinstance(record.get(field), str):
            return str(record[field]).strip()
    subject, relation = record.get("subject"), record.get("relation")
    if not isinstance(subject, str) or not isinstance(relation, str):
        return None
    if relation in patterns:
        return patterns[relation].replace("[X]", subject)
    return f"The {relation} of {subject} is"


def _patterns(path: Path) -> dict[str, str]:
    """For each of ParaRel's relations the first wording that ends in the object, cut off before it."""
    found: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            ending = [p for p in record["patterns"] if p.rstrip(" .").endswith("[Y]")]
            if ending:
                found[record["relation"]] = ending[0].rstrip(" .").removesuffix("[Y]").rstrip()
    return found
