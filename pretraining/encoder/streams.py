"""The public streams as plain records of prompt, rephrases and locality probes, by half.

The split rule is the data's own: SHA-256 of the prompt as it stands in the file, odd is for tuning, even for
testing. Training and fitting read `half(..., "tuning")` only; the test half is read by benchmarks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pretraining.settings import data_folder

Half = Literal["tuning", "test"]


@dataclass(frozen=True)
class Probe:
    """An out-of-scope prompt and its known answers."""

    prompt: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One edit of a stream with its probes; `answers` are the true ones (`truths`) and the edited one."""

    prompt: str
    subject: str
    rephrases: tuple[str, ...]
    locality: tuple[Probe, ...]
    answers: tuple[str, ...]
    relation: str | None = None
    truths: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()


def digest(prompt: str) -> int:
    """The number that decides a record's half, and within tuning its fold."""
    return int(hashlib.sha256(prompt.encode()).hexdigest(), 16)


def half(records: Iterable[Record], wanted: Half) -> list[Record]:
    """The records of one half, in order."""
    return [record for record in records if digest(record.prompt) % 2 == (wanted == "tuning")]


def load(stream: str) -> list[Record]:
    """All records of one of STREAMS."""
    name, read = STREAMS[stream]
    text = (data_folder() / name).read_text("utf-8")
    items = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines() if line]
    return [read(item) for item in items]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


def _counterfact(item: Mapping[str, Any]) -> Record:
    probes = (Probe(item["locality_prompt"], _texts(item["locality_ground_truth"])),)
    answers = (item["target_new"], item.get("ground_truth", item["target_new"]))
    return Record(item["prompt"], item["subject"], (item["rephrase_prompt"],), probes, answers)


def _zsre(item: Mapping[str, Any]) -> Record:
    probe = Probe(item["loc"].removeprefix("nq question: "), _texts(item["loc_ans"]))
    truths = _texts(item["answers"])
    answers = (item["alt"], *truths)
    return Record(item["src"], item["subject"], (item["rephrase"],), (probe,), answers, truths=truths)


def _knowedit(item: Mapping[str, Any]) -> Record:
    asked = item.get("locality", {}).get("Relation_Specificity", [])
    probes = tuple(Probe(each["prompt"], _texts(each["ground_truth"])) for each in asked)
    truths = _texts(item["ground_truth"])
    answers = (item["target_new"], *truths)
    return Record(item["prompt"], item["subject"], (item["rephrase_prompt"],), probes, answers, truths=truths)


def _halluedit(item: Mapping[str, Any]) -> Record:
    hops = tuple(hop["q"] for hop in item.get("hops", ()))
    rephrases, probes = (item["rephrase"],), (Probe(item["locality"]),)
    return Record(item["prompt"], item["subject"], rephrases, probes, (item["target"],), item["relation"], hops=hops)


STREAMS = {
    "counterfact": ("counterfact-train.json", _counterfact),
    "zsre": ("zsre-1500.json", _zsre),
    "knowedit": ("knowedit-zsre-650.json", _knowedit),
    "wikibigedit": ("wikibigedit-1500.json", _counterfact),
    "halluedit": ("halluedit-2300.jsonl", _halluedit),
}
