"""Readers of the public data: true facts, running text, and what the benchmarks ask and want.

Contract: the only module that opens a data file. Text comes out in NFC. Probes are read for one purpose
only, to keep them out of training (`benchmark_probes`); no other field of a test record than prompt,
subject and target is used. True answers come from the tuning halves alone.
"""

import gzip
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHMARKS = (
    "counterfact-train.json",
    "zsre-1500.json",
    "knowedit-zsre-650.json",
    "wikibigedit-1500.json",
    "halluedit-2300.jsonl",
)
PROBE_FIELDS = (
    "rephrase",
    "locality",
    "loc",
    "portability",
    "reversed",
    "yes_question",
    "no_question",
    "hops",
)
_SHORTEST_PARAGRAPH = 80
_LETTERS_IN_PROSE = 0.9
_QUOTES = re.compile("``|''")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"<[^>]*>|\[\^?\d+\]:?|[*_`]|&[a-z]+;")
ANSWER_FIELDS = ("locality_ground_truth", "loc_ans")


@dataclass(frozen=True)
class Triple:
    """One true fact: relation (a ParaRel id or a Wikidata label), subject, object."""

    relation: str
    subject: str
    object: str


@dataclass(frozen=True)
class Wanted:
    """What a benchmark wants edited: its prompt, the subject and the new target."""

    prompt: str
    subject: str
    target: str


@dataclass(frozen=True)
class Asked:
    """A prompt of a tuning half with its true answers."""

    prompt: str
    subject: str
    answers: tuple[str, ...]


def for_tuning(prompt: str) -> bool:
    """Say whether the record of this prompt is in the tuning half."""
    return int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2 == 1


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a JSON array or JSON lines, as NFC."""
    text = unicodedata.normalize("NFC", path.read_text(encoding="utf-8"))
    if path.suffix == ".json":
        records: list[dict[str, Any]] = json.loads(text)
        return records
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def pararel_facts(data: Path) -> list[Triple]:
    """Read the true facts of ParaRel."""
    rows = read_records(data / "pararel-facts.jsonl")
    return [Triple(row["relation"], row["subject"], row["object"]) for row in rows]


def pararel_patterns(data: Path) -> dict[str, list[str]]:
    """Read ParaRel's wordings, by relation."""
    return {row["relation"]: row["patterns"] for row in read_records(data / "pararel-patterns.jsonl")}


def wikidata_facts(data: Path) -> list[Triple]:
    """Read the true Wikidata triples, relations as labels."""
    rows = read_records(data / "wikidata-triples.jsonl")
    return [Triple(row["relation"], row["subject"], row["object"]) for row in rows]


def _gzip_text(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return unicodedata.normalize("NFC", stream.read())


def wikipedia_sentences(data: Path) -> list[str]:
    """Read the Wikipedia sentences, one document each."""
    lines = _gzip_text(data / "text" / "wikipedia-sentences.txt.gz").split("\n")
    return [_QUOTES.sub('"', " ".join(line.split())) for line in lines if line.strip()]


def book_paragraphs(data: Path) -> list[str]:
    """Read the prose, one paragraph a document; headings, rules, tables and mark-up are dropped."""
    paragraphs = (clean(part) for part in _gzip_text(data / "text" / "books.txt.gz").split("\n\n"))
    return [text for text in paragraphs if len(text) > _SHORTEST_PARAGRAPH and _is_prose(text)]


def clean(markdown: str) -> str:
    """Return a paragraph of Markdown as plain text."""
    text = _LINK.sub(r"\1", _MARKUP.sub("", markdown))
    return " ".join(text.replace("\\", "").split())


def _is_prose(text: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return not text.startswith(("#", "---", "|", ">")) and letters > _LETTERS_IN_PROSE * len(text)


def held_out_text(data: Path) -> str:
    """Read the text that perplexity is measured on; it is never trained on."""
    return unicodedata.normalize("NFC", (data / "text" / "wikitext2-valid.txt").read_text(encoding="utf-8"))


def edited_facts(data: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Say what CounterFact's prompts are about: subjects of test records, and true (subject, object) of the others."""
    subjects, pairs = set(), set()
    for row in read_records(data / "counterfact-train.json"):
        if for_tuning(row["prompt"]):
            pairs.add((row["subject"], row["ground_truth"]))
        else:
            subjects.add(row["subject"])
    return subjects, pairs


def tuning_questions(data: Path) -> list[Asked]:
    """List the questions of the tuning halves of zsRE and KnowEdit whose true answers are given."""
    zsre = [
        Asked(row["src"], row["subject"], tuple(row["answers"]))
        for row in read_records(data / "zsre-1500.json")
        if for_tuning(row["src"]) and row.get("answers")
    ]
    knowedit = [
        Asked(row["prompt"], row["subject"], tuple(row["ground_truth"]))
        for row in read_records(data / "knowedit-zsre-650.json")
        if for_tuning(row["prompt"]) and row.get("ground_truth")
    ]
    return zsre + knowedit


def benchmark_targets(data: Path) -> list[Wanted]:
    """List what every benchmark wants edited."""
    return [
        Wanted(
            prompt=row.get("prompt") or row["src"],
            subject=row["subject"],
            target=row.get("target_new") or row.get("alt") or row["target"],
        )
        for name in BENCHMARKS
        for row in read_records(data / name)
    ]


def benchmark_probes(data: Path) -> list[str]:
    """List every rephrase, locality and portability string of every benchmark."""
    return [
        text
        for name in BENCHMARKS
        for row in read_records(data / name)
        for field, value in row.items()
        if field.startswith(PROBE_FIELDS) and field not in ANSWER_FIELDS
        for text in _prompts(value)
    ]


def _prompts(value: Any) -> Iterator[str]:
    """Yield the prompts inside a probe field, whatever its nesting; answers are not prompts."""
    if isinstance(value, str):
        yield value.removeprefix("nq question:").strip()
    elif isinstance(value, list):
        for item in value:
            yield from _prompts(item)
    elif isinstance(value, dict):
        inner = [value[key] for key in ("prompt", "q") if key in value]
        for item in inner or value.values():
            yield from _prompts(item)
