"""Editors: algorithms that turn a wave of facts into experts. One module each; a recipe names one.

`docs/ADDING_A_METHOD.md` walks through a complete small one.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from editlog.errors import LifelongError, UsageError
from lifelong.editors.preparation import Corpus
from lifelong.editors.routers import GateRouter, Router, Scene
from lifelong.editors.state import State
from lifelong.experts.expert import Expert
from lifelong.experts.operators.rows import TokenGate
from lifelong.models.base import Base
from policies.recipe import Recipe

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Lesson:
    """What an editor may learn of one fact. Probes are not here: no editor can reach them."""

    digest: str
    prompt: str
    target: str
    subject: str | None = None
    relation: str | None = None
    rephrases: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()

    @property
    def wordings(self) -> tuple[str, ...]:
        """The prompt and its rephrases, without repeats."""
        return tuple(dict.fromkeys((self.prompt, *self.rephrases)))


@dataclass(frozen=True)
class Wave:
    """Lessons trained in one pass, grouped by the expert that is to hold them: one inner tuple an expert.

    `begin`, where given, has for each group a low-rank expert to go on from, or None; an editor may pass it over.
    """

    groups: tuple[tuple[Lesson, ...], ...]
    begin: tuple[Expert | None, ...] = ()

    @property
    def lessons(self) -> list[Lesson]:
        """All lessons, in the order of the experts."""
        return [lesson for group in self.groups for lesson in group]


@dataclass(frozen=True)
class Outcome:
    """How the fit of one fact ended: its expert, the loss (nats a target token) and the steps it took."""

    expert: str
    loss: float
    steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Edit:
    """All that an editor may return: experts, and an outcome for each fact of the wave by its digest.

    `retires` are hashes of experts that these take the place of, facts and all; `state` is what the editor needs to
    go on or to forget, or what its router reads. How a prompt comes to an expert is said by its `anchors`.
    """

    experts: tuple[Expert, ...]
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    retires: tuple[str, ...] = ()
    state: State | None = None


class CannotForget(LifelongError):
    """A fact cannot be taken out of what an editor made; the message says why, and what to do."""


class Dials(BaseModel):
    """The section `[method]` of a recipe: what one editor alone can be told. Subclass it, with bounds and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Editor(ABC):
    """Turns waves into experts; the same wave, state, seed, thread count and base give the same experts.

    A subclass is the class `EDITOR` of its module, and finds the recipe in `self.recipe`, its own dials in
    `self.dials` and the text for what it must learn of a base in `self.corpus`.
    """

    Dials: ClassVar[type[Dials]] = Dials
    accumulates: ClassVar[bool] = False
    """Whether each wave goes on from the last one's state and experts. If not, experts stand alone: a fact that failed
    its audit is trained again by itself, and one that is retracted is simply not served."""

    def __init__(self, recipe: Recipe, corpus: Corpus | None = None) -> None:
        """Raises UsageError where the recipe's `[method]` is not what this editor can be told."""
        self.recipe = recipe
        self.corpus = corpus or Corpus()
        try:
            self.dials: Any = self.Dials.model_validate(recipe.method)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, ("method", *problem["loc"])))
            raise UsageError(f"the recipe {recipe.name} cannot be used: {where}: {problem['msg']}") from error

    @abstractmethod
    def fit(
        self,
        base: Base,
        wave: Wave,
        *,
        seed: int,
        state: State | None = None,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Edit:
        """Train on a wave, after `state`.

        `steps` overrides the recipe's (for a retry), `advance(n)` is called as n more facts are done.
        """

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """For an editor that accumulates: what there would be had the facts `gone` (digests) never been edited.

        Raises CannotForget, with the reason, where the mathematics forbids it.
        """
        raise CannotForget(f"what {self.recipe.editor} made holds its facts together; none can be taken out")

    def shared(self, base: Base, *, seed: int, advance: Callable[[int], None] | None = None) -> Expert | None:
        """What all facts have in common, learned once per base before the first is edited; nothing, unless overridden.

        Its anchors are `ALWAYS`, its `facts` name what it learned from, and `Bank.always` finds it for the router.
        `advance` is told how many lessons have been learned, as they are.
        """
        return None

    def router(self, scene: Scene) -> Router:
        """How prompts come to the experts; by the calibrated gate, unless overridden."""
        return GateRouter(scene)

    def token_gate(self, scene: Scene) -> TokenGate | None:
        """What weighs the tokens of routed rows; nothing, unless overridden."""
        return None


def editor_of(recipe: Recipe, corpus: Corpus | None = None) -> Editor:
    """The editor a recipe names: the class `EDITOR` of the module of that name in this package.

    Raises UsageError where there is none, or its dials are wrong.
    """
    path = f"{__name__}.{recipe.editor}"
    module = importlib.import_module(path) if _NAME.fullmatch(recipe.editor) and find_spec(path) else None
    kind: type[Editor] | None = getattr(module, "EDITOR", None)
    if kind is None:
        raise UsageError(f"the recipe {recipe.name} names the editor {recipe.editor!r}, which there is not")
    return kind(recipe, corpus)


def as_groups(lessons: Sequence[Lesson]) -> tuple[tuple[Lesson, ...], ...]:
    """Each lesson alone in an expert of its own."""
    return tuple((lesson,) for lesson in lessons)
