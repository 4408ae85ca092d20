"""Training a job's facts, wave by wave, and keeping what is finished.

A finished wave is a pack and its outcomes in the job's directory, under a name made from everything that
shapes it, so that a job that was killed carries on behind its last finished wave and reaches the same result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from editlog.canonical import canonical_json, sha256
from editlog.errors import IntegrityError
from editlog.fact import Fact
from lifelong.base import Base
from lifelong.editors import Lesson, Wave, editor_of
from lifelong.editors.views import LEAD_INS
from lifelong.experts.expert import Expert
from lifelong.experts.pack import read_pack, write_pack
from lifelong.files import write_atomically
from lifelong.planning import WaveGroups
from policies.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Trained:
    """One fact's expert and how its fit ended."""

    expert: Expert
    loss: float
    steps: int
    converged: bool


def lesson_of(fact: Fact) -> Lesson:
    """What an editor may learn of a fact: everything but its probes."""
    return Lesson(
        digest=fact.digest,
        prompt=fact.prompt,
        target=fact.target,
        subject=fact.subject,
        relation=fact.relation,
        rephrases=fact.rephrases,
        near_misses=tuple(near.prompt for near in fact.near_misses),
    )


def fits(base: Base, fact: Fact) -> bool:
    """Whether every text that training and audit make of a fact is short enough for the base."""
    wordings = [f"{max(LEAD_INS, key=len)} {wording} {fact.target}" for wording in fact.wordings]
    return all(base.fits(text) for text in (*wordings, *(near.prompt for near in fact.near_misses)))


class Trainer:
    """Fits waves for one job and remembers the finished ones in `directory`."""

    def __init__(self, base: Base, recipe: Recipe, directory: Path, seed: int) -> None:
        self._base = base
        self._recipe = recipe
        self._directory = directory
        self._seed = seed

    def fit(
        self,
        facts: Mapping[int, Fact],
        groups: WaveGroups,
        *,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> dict[int, Trained]:
        """Train one wave, or read it where it is already finished; results by fact number."""
        steps = steps or self._recipe.training.steps
        wave = Wave(tuple(tuple(lesson_of(facts[seq]) for seq in group) for group in groups))
        name = self._name(wave, steps)
        finished = self._finished(name)
        if finished is None:
            edit = editor_of(self._recipe).fit(self._base, wave, seed=self._seed, steps=steps, advance=advance)
            by_hash = {expert.hash: expert for expert in edit.experts}
            finished = {
                digest: Trained(by_hash[outcome.expert], outcome.loss, outcome.steps, outcome.converged)
                for digest, outcome in edit.outcomes.items()
            }
            self._keep(name, list(edit.experts), finished)
        elif advance:
            advance(len(finished))
        return {seq: finished[facts[seq].digest] for group in groups for seq in group}

    def _name(self, wave: Wave, steps: int) -> str:
        """What shapes a wave's result: base, recipe, seed, steps, and its lessons in their groups and order."""
        shape = {
            "base": self._base.fingerprint,
            "recipe": self._recipe.digest,
            "seed": self._seed,
            "steps": steps,
            "groups": [[lesson.digest for lesson in group] for group in wave.groups],
        }
        return sha256(b"lifelong/wave/v1\x00", canonical_json(shape)).hex()[:32]

    def _keep(self, name: str, experts: list[Expert], trained: Mapping[str, Trained]) -> None:
        pack = write_pack(self._directory, experts)
        outcomes = {
            digest: {"expert": t.expert.hash, "loss": t.loss, "steps": t.steps, "converged": t.converged}
            for digest, t in trained.items()
        }
        write_atomically(self._directory / f"{name}.json", canonical_json({"pack": pack, "outcomes": outcomes}))

    def _finished(self, name: str) -> dict[str, Trained] | None:
        """What an earlier run kept of the wave; a damaged one is a wave that is not finished."""
        try:
            kept = json.loads((self._directory / f"{name}.json").read_bytes())
            pack = read_pack(self._directory, kept["pack"])
            slots = {expert_hash: slot for slot, expert_hash in enumerate(pack.hashes)}
            return {
                digest: Trained(pack.expert(slots[o["expert"]]), o["loss"], o["steps"], o["converged"])
                for digest, o in kept["outcomes"].items()
            }
        except (FileNotFoundError, IntegrityError, ValueError, KeyError, TypeError):
            return None
