"""What a bench returns: the metrics object of `eval`, and beside it everything that stands behind the figures.

`bench.schema.json` pins its shape: scripts rely on it, and a test holds the two to each other. A figure that was not
measured is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from lifelong.evaluation.metrics import Accuracy, Metrics

SCHEMA = 1
_STRICT = ConfigDict(extra="forbid")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Data:
    """The stream: its file's name, a hash of its records in order, which half is scored, how many were unreadable."""

    __pydantic_config__ = _STRICT

    file: str
    digest: str
    half: str
    rejected: int


@dataclass(frozen=True)
class Point:
    """The state right behind a job: figures of all scored facts edited so far, and what that job cost.

    `seconds_per_edit` is wall time of ingest, training, audit and publishing; `passes_per_edit` and `rows_per_edit` are
    forward passes of the model in it and the rows of them, as far as this process made them. All three are None where
    the job was resumed. `within_limits`: whether the audit's locality and retention held to the recipe's limits.
    """

    __pydantic_config__ = _STRICT

    seed: int
    edits: int
    reliability: float | None
    generality: float | None
    recall: float | None
    precision: float | None
    right_fact: float | None
    seconds_per_edit: float | None
    passes_per_edit: float | None
    rows_per_edit: float | None
    bytes_per_edit: float | None
    within_limits: bool


@dataclass(frozen=True)
class Age:
    """The edits `first` to `last` of the stream: answered exactly right behind their job, and at the end.

    `facts`: those scored that nothing in the stream has superseded.
    """

    __pydantic_config__ = _STRICT

    seed: int
    first: int
    last: int
    facts: int
    then: float | None
    now: float | None


@dataclass(frozen=True)
class Again:
    """Scored facts that give their key another target than the stream gave it before: answered with it at the end."""

    __pydantic_config__ = _STRICT

    facts: int
    latest: float | None


@dataclass(frozen=True)
class Disk:
    """Bytes of files that serve the edits, over all edits in use: packs of experts, and the published snapshot."""

    __pydantic_config__ = _STRICT

    experts_per_edit: float | None
    snapshot_per_edit: float | None


@dataclass(frozen=True)
class Ceiling:
    """One isolated expert for each scored fact, trained on its prompt alone to convergence."""

    __pydantic_config__ = _STRICT

    facts: int
    reliability: Accuracy
    generality: Accuracy


@dataclass(frozen=True)
class Pool:
    """Prompts from elsewhere, with the edits against the base without; `governed`: left out, an edit is about them."""

    __pydantic_config__ = _STRICT

    name: str
    prompts: int
    governed: int
    agreement: float | None
    bit_identical: float | None
    false_hits: float | None


@dataclass(frozen=True)
class Text:
    """Running text in passages, each routed by its beginning: perplexity a token of the base and with the edits.

    `unchanged`: whether the summed loss of the passages that miss is the same to the last bit.
    """

    __pydantic_config__ = _STRICT

    passages: int
    tokens: int
    false_hits: float | None
    perplexity_base: float
    perplexity_edited: float
    unchanged: bool


@dataclass(frozen=True)
class Details:
    """What stands behind the figures. The 95 % `intervals` are of the bootstrap over facts, all seeds together;
    `edited_again` has an entry a seed.

    `ceiling`, `arms`, `pools` and `text` are of the first seed, and None unless they were asked for.
    """

    __pydantic_config__ = _STRICT

    schema: int
    data: Data
    seeds: list[int]
    ablated: list[str]
    overrides: dict[str, Any]
    environment: dict[str, str | int | None]
    intervals: dict[str, Interval | None]
    by_seed: list[Metrics]
    curve: list[Point]
    retention_by_age: list[Age]
    edited_again: list[Again]
    disk: Disk
    ceiling: Ceiling | None = None
    arms: dict[str, Metrics] | None = None
    pools: list[Pool] | None = None
    text: Text | None = None


@dataclass(frozen=True)
class Result(Metrics):
    """The metrics (means over the seeds), and `bench`: what stands behind them."""

    __pydantic_config__ = _STRICT

    bench: Details | None = field(default=None)


def schema() -> dict[str, Any]:
    """The JSON schema of a result."""
    return TypeAdapter(Result).json_schema(mode="serialization")


def check(data: dict[str, Any]) -> Result:
    """Read a result back from JSON data; raises pydantic's ValidationError where it is none."""
    return TypeAdapter(Result).validate_python(data)
