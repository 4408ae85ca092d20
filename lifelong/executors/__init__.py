"""Where waves are trained: here, in processes of this machine, or on a Ray cluster.

A task is stateless and says all that shapes its result, so that anybody may perform it, twice even, to the same
experts. What comes back are bytes, checked like any file from outside; only the job's own process appends to the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from editlog.errors import UsageError

if TYPE_CHECKING:
    from lifelong.editors import Wave
    from policies.recipe import Recipe

ATTEMPTS = 3
"""How often a task is begun before its facts are given up."""


@dataclass(frozen=True)
class Task:
    """One wave to be trained. `name` is the hash of all that shapes it (`Trainer.name`), `groups` its lessons.

    `model`, `device`, `dtype`, `trust_remote_code`, `chat` and `threads` say how a worker loads the base, whose
    fingerprint must be `base`; `recipe` is the recipe's JSON. A worker needs nothing else.
    """

    name: str
    base: str
    model: str
    device: str
    dtype: str
    trust_remote_code: bool
    chat: bool
    threads: int
    recipe: str
    groups: tuple[tuple[dict[str, Any], ...], ...]
    seed: int
    steps: int

    def encode(self) -> str:
        """The task as JSON, which is all that is sent."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Task:
        """The task that `encode` wrote."""
        said = json.loads(text)
        return cls(**{**said, "groups": tuple(map(tuple, said["groups"]))})


@dataclass(frozen=True)
class Done:
    """A trained wave: packs as bytes, and each lesson's outcome by its digest."""

    name: str
    packs: tuple[bytes, ...]
    outcomes: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Failed:
    """A wave that nobody could train, and why: the kind of error alone, for its words may quote a fact."""

    name: str
    reason: str


class Executor(Protocol):
    """Performs tasks, in whatever order they end; each is begun again where its worker dies, up to `ATTEMPTS` times."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Done | Failed]:
        """What became of each task, as it becomes known. A task that fails stops no other."""


@dataclass(frozen=True)
class Workers:
    """An executor, and how its workers get the base: what `Base.load` takes, whether it is a chat
    model, and the job's own number of threads."""

    executor: Executor
    model: str
    device: str
    dtype: str
    threads: int
    trust_remote_code: bool = False
    chat: bool = False

    def task(self, name: str, base: str, recipe: Recipe, wave: Wave, seed: int) -> Task:
        """The task of a wave under a recipe; 0 `threads` are as many as torch takes here."""
        import torch

        threads = self.threads or torch.get_num_threads()
        groups = tuple(tuple(asdict(lesson) for lesson in group) for group in wave.groups)
        said, steps = recipe.model_dump_json(), recipe.training.steps
        return Task(
            name=name,
            base=base,
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            chat=self.chat,
            threads=threads,
            recipe=said,
            groups=groups,
            seed=seed,
            steps=steps,
        )


def executor_named(name: str, *, workers: int, address: str | None) -> Executor | None:
    """The executor of that name; None: the job trains by itself, wave after wave.

    `workers`: processes of this machine (0: none), or how many CPUs a Ray of our own may use; `address`: of a Ray
    cluster that is there. Raises UsageError for an unknown name and where Ray is not installed.
    """
    if name == "local":
        from lifelong.executors.processes import Processes

        return Processes(workers) if workers else None
    if name == "ray":
        from lifelong.executors.ray import RayCluster

        return RayCluster(workers=workers, address=address)
    raise UsageError(f"there is no executor {name!r}; the executors are: local, ray")
