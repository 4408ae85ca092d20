"""Training a job's facts, wave by wave, and keeping what is finished.

A finished wave is a pack and its outcomes in the job's directory, under a name made from everything that
shapes it, so that a job that was killed carries on behind its last finished wave and reaches the same result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from editlog.canonical import canonical_json, sha256
from editlog.errors import IntegrityError
from editlog.fact import Fact
from lifelong.editors import Edit, Lesson, Outcome, Wave, editor_of
from lifelong.editors.preparation import Corpus
from lifelong.editors.state import STATES, State, read_state, write_state
from lifelong.editors.views import LEAD_INS
from lifelong.executors import Done, Failed, Task, Workers
from lifelong.experts.expert import Expert
from lifelong.experts.pack import alike, read_pack, write_pack
from lifelong.files import write_atomically
from lifelong.jobs.planning import WaveGroups
from lifelong.layout import pack_path
from lifelong.models.base import Base
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
    """Fits waves for one job and remembers the finished ones in `directory`.

    `state` is what the editor goes on from. `standing` are the experts that no later wave took the place of, by hash;
    `retired` those from before the job that one did. `untrained` are facts whose wave nobody could train, with why.
    """

    def __init__(
        self,
        base: Base,
        recipe: Recipe,
        directory: Path,
        seed: int,
        *,
        state: State | None = None,
        corpus: Corpus | None = None,
    ) -> None:
        self._base = base
        self._recipe = recipe
        self._directory = directory
        self._seed = seed
        self.editor = editor_of(recipe, corpus)
        self.state = state
        self.standing: dict[str, Expert] = {}
        self.retired: list[str] = []
        self.untrained: dict[int, str] = {}
        self._given_up: dict[str, str] = {}

    def fit(
        self,
        facts: Mapping[int, Fact],
        groups: WaveGroups,
        *,
        steps: int | None = None,
        begin: tuple[Expert | None, ...] = (),
        advance: Callable[[int], None] | None = None,
    ) -> dict[int, Trained]:
        """Train one wave, or read it where it is already finished; results by fact number, none of a wave given up.

        `begin`: see `Wave`.
        """
        steps = steps or self._recipe.training.steps
        wave = Wave(tuple(tuple(lesson_of(facts[seq]) for seq in group) for group in groups), begin)
        name = self._name(wave, steps)
        if name in self._given_up:
            self.untrained.update((seq, self._given_up[name]) for group in groups for seq in group)
            return {}
        edit = self._finished(name)
        if edit is None:
            edit = self.editor.fit(self._base, wave, seed=self._seed, state=self.state, steps=steps, advance=advance)
            self._keep(name, edit)
        elif advance:
            advance(len(edit.outcomes))
        self._take(edit)
        by_hash = {expert.hash: expert for expert in edit.experts}
        finished = {
            digest: Trained(by_hash[outcome.expert], outcome.loss, outcome.steps, outcome.converged)
            for digest, outcome in edit.outcomes.items()
        }
        return {seq: finished[facts[seq].digest] for group in groups for seq in group}

    def train_ahead(
        self,
        workers: Workers,
        facts: Mapping[int, Fact],
        waves: Iterable[WaveGroups],
        *,
        advance: Callable[[int], None],
    ) -> None:
        """Let workers train the waves that are not finished; `fit` then finds them, or that they were given up.

        An editor whose waves go on from each other trains here, in order: then nothing is done.
        """
        if self.editor.accumulates or self.state:
            return
        tasks = {}
        for groups in waves:
            wave = Wave(tuple(tuple(lesson_of(facts[seq]) for seq in group) for group in groups))
            name = self._name(wave, self._recipe.training.steps)
            if self._finished(name) is None:
                tasks[name] = workers.task(name, self._base.fingerprint, self._recipe, wave, self._seed)
        for result in workers.executor.run(list(tasks.values())):
            advance(0)
            reason = result.reason if isinstance(result, Failed) else self._keep_remote(result, tasks[result.name])
            if reason:
                self._given_up[result.name] = reason

    def _keep_remote(self, done: Done, task: Task) -> str | None:
        """Keep what a worker handed back as our own, or say why it cannot be: it is checked like any file."""
        wanted = {lesson["digest"] for group in task.groups for lesson in group}
        if done.outcomes.keys() != wanted:
            return "its worker left facts out"
        names = [hashlib.sha256(content).hexdigest() for content in done.packs]
        for name, content in zip(names, done.packs, strict=True):
            write_atomically(pack_path(self._directory, name), content, point="pack")
        kept = {"packs": names, "outcomes": done.outcomes, "retires": [], "state": None}
        write_atomically(self._directory / f"{done.name}.json", canonical_json(kept))
        edit = self._finished(done.name)
        experts = edit.experts if edit else ()
        ours = all(one.base == task.base and one.recipe == self._recipe.digest for one in experts)
        carried = {(digest, one.hash) for one in experts for digest in one.facts}
        if not edit or not ours or not {(d, o.expert) for d, o in edit.outcomes.items()} <= carried:
            (self._directory / f"{done.name}.json").unlink(missing_ok=True)
            return "what its worker handed back is damaged"
        return None

    def settled(self, facts: Mapping[int, Fact], trained: Mapping[int, Trained]) -> dict[int, Trained]:
        """The same facts with the experts that stand at the end, where later waves took the place of earlier ones."""
        of_fact = {digest: expert for expert in self.standing.values() for digest in expert.facts}
        return {
            seq: one if one.expert.hash in self.standing else replace(one, expert=of_fact[facts[seq].digest])
            for seq, one in trained.items()
        }

    def forget(self, gone: Iterable[str]) -> None:
        """Take facts (digests) out of what an accumulating editor made; raises CannotForget where it cannot."""
        self._take(self.editor.forget(self._base, frozenset(gone), self.state))

    def _take(self, edit: Edit) -> None:
        self.retired += [old for old in edit.retires if self.standing.pop(old, None) is None]
        self.standing.update((expert.hash, expert) for expert in edit.experts)
        self.state = edit.state if self.editor.accumulates or edit.state else self.state

    def _name(self, wave: Wave, steps: int) -> str:
        """What shapes a wave's result: base, recipe, seed, steps, its lessons in their groups, where these begin."""
        shape = {
            "base": self._base.fingerprint,
            "recipe": self._recipe.digest,
            "seed": self._seed,
            "steps": steps,
            "groups": [[lesson.digest for lesson in group] for group in wave.groups],
            **({"state": self.state.name} if self.state else {}),
            **({"begin": [one and one.hash for one in wave.begin]} if wave.begin else {}),
        }
        return sha256(b"lifelong/wave/v1\x00", canonical_json(shape)).hex()[:32]

    def _keep(self, name: str, edit: Edit) -> None:
        outcomes = {digest: asdict(outcome) for digest, outcome in edit.outcomes.items()}
        kept = {
            "packs": [write_pack(self._directory, part) for part in alike(edit.experts)],
            "outcomes": outcomes,
            "retires": list(edit.retires),
            "state": write_state(self._directory / STATES, edit.state) if edit.state else None,
        }
        write_atomically(self._directory / f"{name}.json", canonical_json(kept))

    def _finished(self, name: str) -> Edit | None:
        """What an earlier run kept of the wave; a damaged one is a wave that is not finished."""
        try:
            kept = json.loads((self._directory / f"{name}.json").read_bytes())
            packs = [read_pack(self._directory, pack) for pack in kept["packs"]]
            state = read_state(self._directory / STATES, kept["state"]) if kept["state"] else None
            outcomes = {digest: Outcome(**outcome) for digest, outcome in kept["outcomes"].items()}
        except (FileNotFoundError, IntegrityError, ValueError, KeyError, TypeError):
            return None
        experts = [pack.expert(slot) for pack in packs for slot in range(len(pack))]
        return Edit(tuple(experts), outcomes, tuple(kept["retires"]), state)
