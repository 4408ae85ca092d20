"""What `--with` adds to a bench, each measured once and kept: ceiling, comparators, pools, text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import TypeAdapter

from editlog.fact import Fact
from lifelong.benching.kept import Kept
from lifelong.benching.result import Ceiling, Pool, Text
from lifelong.evaluation.arms import Setting, arms
from lifelong.evaluation.ceiling import ceiling
from lifelong.evaluation.harness import Run, measure
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.pools import outside, pool_files, read_pool
from lifelong.evaluation.predictions import Prediction
from lifelong.evaluation.probes import ProbeSet
from lifelong.evaluation.reference import Reference
from lifelong.evaluation.running_text import drift, text_file
from lifelong.jobs.progress import Silent
from lifelong.models.edited import EditedModel

if TYPE_CHECKING:
    from lifelong.jobs.progress import Progress

T = TypeVar("T")


class Asked(Protocol):
    """Which extras are wanted, and on what."""

    @property
    def extras(self) -> Sequence[str]:
        """Their names."""

    @property
    def pools(self) -> Sequence[Path]:
        """Files of prompts that no edit is about."""

    @property
    def text(self) -> Path | None:
        """A file of running text."""


class Extras:
    """The extras of one seed's workspace; `edited` and `reference` are only made where something must be measured."""

    def __init__(
        self,
        asked: Asked,
        edited: Callable[[], EditedModel],
        reference: Callable[[], Reference],
        *,
        facts: Sequence[Fact],
        probes: ProbeSet,
        seed: int,
        kept: Kept,
        progress: Progress | None = None,
    ) -> None:
        self._asked, self._edited, self._reference = asked, edited, reference
        self._facts, self._probes, self._seed, self._kept = facts, probes, seed, kept
        self._progress = progress or Silent()

    def measured(self) -> dict[str, Any]:
        """The fields of `Details` that were asked for."""
        return {field: make(self) for name, (field, make) in _EXTRAS.items() if name in self._asked.extras}

    def ceiling(self) -> Ceiling:
        """See `evaluation.ceiling`."""

        def make() -> dict[str, Any]:
            self._progress.stage("ceiling", len(self._probes.facts))
            own, other = ceiling(self._edited().base, self._probes, seed=self._seed, advance=self._progress.advance)
            return asdict(Ceiling(len(self._probes.facts), own, other))

        return _read(Ceiling, self._kept.json("ceiling", make))

    def comparators(self) -> dict[str, Metrics]:
        """The metrics of every arm."""
        kept = self._kept.within("arms")
        return {
            name: _read(Metrics, kept.json(name.replace(" ", "-"), partial(self._arm, name, build)))
            for name, build in arms().items()
        }

    def _arm(self, name: str, build: Callable[[Setting], Any]) -> dict[str, Any]:
        self._progress.stage(f"arm: {name}", 0)
        arm = build(Setting(self._edited(), self._facts, self._probes, self._seed))
        found = measure(arm, self._probes, reference=self._reference(), progress=self._progress)
        return asdict(replace(found.metrics, recipe=name))

    def pools(self) -> list[Pool]:
        """Each pool against the untouched base."""
        kept = self._kept.within("pools")
        return [_read(Pool, kept.json(path.name, partial(self._pool, path))) for path in pool_files(self._asked.pools)]

    def _pool(self, path: Path) -> dict[str, Any]:
        prompts = read_pool(path, seed=self._seed)
        asked = outside(prompts, self._facts)
        found = Run(self._edited(), self._progress).compared(f"pool {path.stem}", asked, self._reference())
        pool = Pool(
            name=path.stem,
            prompts=len(asked),
            governed=len(prompts) - len(asked),
            agreement=_share(found, lambda one: bool(one.agrees)),
            bit_identical=_share(found, lambda one: bool(one.bit_identical)),
            false_hits=_share(found, lambda one: one.sent is not None),
        )
        return asdict(pool)

    def text(self) -> Text:
        """See `evaluation.running_text`."""

        def make() -> dict[str, Any]:
            text = text_file(self._asked.text).read_text(encoding="utf-8")
            self._progress.stage("text", 0)
            found = drift(self._edited(), text, advance=self._progress.advance)
            return asdict(
                Text(
                    passages=found.passages,
                    tokens=found.tokens,
                    false_hits=found.hits / found.passages,
                    perplexity_base=found.base,
                    perplexity_edited=found.edited,
                    unchanged=found.unchanged,
                )
            )

        return _read(Text, self._kept.json("text", make))


_EXTRAS: Mapping[str, tuple[str, Callable[[Extras], Any]]] = {
    "ceiling": ("ceiling", Extras.ceiling),
    "comparators": ("arms", Extras.comparators),
    "pools": ("pools", Extras.pools),
    "text": ("text", Extras.text),
}
EXTRAS = tuple(_EXTRAS)


def _read(kind: type[T], data: Any) -> T:
    return TypeAdapter(kind).validate_python(data)


def _share(found: Sequence[Prediction], test: Callable[[Prediction], bool]) -> float | None:
    return sum(map(test, found)) / len(found) if found else None
