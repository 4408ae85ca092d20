"""MALMEN: a hypernetwork turns keys and value gradients into the values that facts ask for; one system fits them all.

The network is trained once per base on edits made of ordinary text: the beginning of one text must go on as another
does, behind a lead-in too, while third texts go on as they did. Model and network never stand in one graph: the model
gives pairs, the network differences, the normal equation a shift; the loss is differentiated by the shift in the model,
from there by the differences, and from there in the network, slice by slice. So memory is bounded in the facts.

Other than the published code, every fact is measured on the base alone, and each wave solves one system for all facts
so far. Consecutive waves then come to what one batch of all would, and forgetting is exact: the pairs that go are left
out and the rest is solved again. Of facts with the same prompt the latest alone stands in the system. To see what that
gains, `batch_size` solves for so many facts at once, one batch after another, each for what earlier ones leave missing.

Tan et al., 2023, "Massive Editing for Large Language Models via Meta Learning" (arXiv 2311.04661).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from editlog.canonical import fold, sha256
from lifelong.editors import Edit, Editor, Lesson, Outcome, Wave, as_groups
from lifelong.editors.activations import UpperLayers
from lifelong.editors.hypernetwork import Hypernetwork, normal_equation
from lifelong.editors.measuring import measured_once
from lifelong.editors.metatraining import MetaDials, meta_train
from lifelong.editors.parallel import chunks_of
from lifelong.editors.preparation import prepared
from lifelong.editors.routers import AlwaysOn, Router, Scene
from lifelong.editors.shifting import measured, shifted
from lifelong.editors.signals import signals
from lifelong.editors.state import State
from lifelong.editors.views import wave_rows
from lifelong.experts.expert import ALWAYS, Expert
from lifelong.experts.kinds import Dense
from lifelong.models.base import Base
from lifelong.models.sites import Site, find_sites


class MalmenDials(MetaDials):
    """`layers` are shifted. The network of each has `blocks` of `rank`; a fact is measured behind `contexts` lead-ins,
    too; `batch_size` facts are solved for at once (0: all). How the networks are trained: `MetaDials`."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (-2, -1)
    batch_size: Annotated[int, Field(ge=0, le=16384)] = 0
    rank: Annotated[int, Field(ge=1, le=4096)] = 128
    blocks: Annotated[int, Field(ge=1, le=8)] = 2
    contexts: Annotated[int, Field(ge=0, le=16)] = 1


class MalmenEditor(Editor):
    """One dense expert of all facts, always on."""

    Dials = MalmenDials
    accumulates = True

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
        """Measure the wave, ask the network and solve for all facts; nothing is drawn from `seed`, nothing trained."""
        sites, lessons = self._sites(base), wave.lessons
        rows = wave_rows(base, Wave(as_groups(lessons)), contexts=self.dials.contexts, near_misses=0)
        networks = self._networks(base, sites)
        where = tuple(site.path for site in sites)
        asked = (base.fingerprint, "malmen", where, self.dials.contexts, tuple(lessons))
        pairs = measured_once(asked, lambda: signals(base, sites, rows))
        start = len(state.facts) if state else 0
        new: dict[str, Tensor] = {"fact": pairs.fact + start}
        for path, network in networks.items():
            new[f"{path}/keys"] = pairs.keys[path]
            new[f"{path}/differences"] = network.differences(pairs.keys[path], pairs.gradients[path])
        old = state.tensors if state else {}
        tensors = {name: torch.cat([old[name], tensor]) if name in old else tensor for name, tensor in new.items()}
        facts = (*(state.facts if state else ()), *(lesson.digest for lesson in lessons))
        prompts = [*_meta(state).get("prompts", ()), *(_prompt(lesson) for lesson in lessons)]
        expert, kept = self._solved(base, networks, tensors, facts, prompts)
        shifts = {path: delta.parts["w"].float().to(base.device) for path, delta in expert.tensors.items()}
        upper = UpperLayers(base, sites)
        with torch.no_grad():
            chunks = chunks_of(base, upper, rows)
            loss, right = measured(upper, chunks, lambda _: shifted(base, shifts), len(lessons), 0.0)
        if advance:
            advance(len(lessons))
        return Edit((expert,), _outcomes(lessons, expert, loss, right), _standing(state), kept)

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Solve again without the pairs of `gone`: exactly what never editing them would have given."""
        if state is None:
            return Edit(())
        stays = torch.tensor([fact not in gone for fact in state.facts])
        if not stays.any():
            return Edit((), retires=_standing(state))
        places = stays.nonzero().squeeze(1).tolist()
        of_token = stays[state.tensors["fact"]]
        tensors = {name: tensor[of_token] for name, tensor in state.tensors.items()}
        tensors["fact"] = (stays.cumsum(0) - 1)[tensors["fact"]]
        prompts = _meta(state)["prompts"]
        networks = self._networks(base, self._sites(base))
        facts = tuple(state.facts[place] for place in places)
        expert, kept = self._solved(base, networks, tensors, facts, [prompts[place] for place in places])
        return Edit((expert,), retires=_standing(state), state=kept)

    def router(self, scene: Scene) -> Router:
        """Always on."""
        return AlwaysOn(scene)

    def _sites(self, base: Base) -> list[Site]:
        return find_sites(base.model, self.dials.layers, ["mlp.down"])

    def _networks(self, base: Base, sites: Sequence[Site]) -> dict[str, Hypernetwork]:
        """The trained network of each site, from the cache where it is there."""
        dials: MalmenDials = self.dials
        shape = dials.model_dump(mode="json", exclude={"contexts", "batch_size"})
        made = {
            site.path: Hypernetwork(site.in_features, site.out_features, rank=dials.rank, blocks=dials.blocks)
            for site in sites
        }

        def learn(texts: list[str]) -> State:
            meta_train(base, sites, made, texts, dials)
            parts = {path: network.state_dict() for path, network in made.items()}
            return State({f"{path}/{name}": part for path, held in parts.items() for name, part in held.items()})

        learned = prepared(base, self.corpus, what="malmen", dials=shape, learn=learn).tensors
        for path, network in made.items():
            network.load_state_dict({name: learned[f"{path}/{name}"] for name in network.state_dict()})
        return made

    def _solved(
        self,
        base: Base,
        networks: Mapping[str, Hypernetwork],
        tensors: Mapping[str, Tensor],
        facts: tuple[str, ...],
        prompts: Sequence[str],
    ) -> tuple[Expert, State]:
        """The expert and the state of all pairs."""
        latest = {prompt: place for place, prompt in enumerate(prompts)}
        governs = torch.tensor([latest[prompt] == place for place, prompt in enumerate(prompts)])[tensors["fact"]]
        batch = tensors["fact"][governs] // (self.dials.batch_size or len(prompts))
        dtype = torch.float16 if self.recipe.experts.dtype == "float16" else torch.float32
        deltas = {}
        for path, network in networks.items():
            keys, wanted = (tensors[f"{path}/{part}"][governs].double() for part in ("keys", "differences"))
            deltas[path] = Dense(batch_by_batch(keys, wanted, batch, network.ridge.detach().double().exp()).to(dtype))
        expert = Expert(tuple(sorted(set(facts))), deltas, self.recipe.digest, base.fingerprint, "dense", ALWAYS)
        return expert, State(tensors, facts, {"expert": expert.hash, "prompts": list(prompts)})


def batch_by_batch(keys: Tensor, wanted: Tensor, batch: Tensor, ridge: Tensor) -> Tensor:
    """The shift [out, in] of all batches: keys [tokens, in], what is wanted at them [tokens, out], float64, and the
    number of each token's batch, int64 [tokens]."""
    shift = torch.zeros(wanted.shape[1], keys.shape[1], dtype=keys.dtype)
    for number in sorted(set(batch.tolist())):
        rows = batch == number
        shift = shift + normal_equation(keys[rows], wanted[rows] - keys[rows] @ shift.T, ridge)
    return shift


def _meta(state: State | None) -> Mapping[str, Any]:
    return (state.meta or {}) if state else {}


def _prompt(lesson: Lesson) -> str:
    """What tells equal prompts: a state holds no text."""
    return sha256(b"lifelong/prompt/v1\x00", fold(lesson.prompt).encode()).hex()[:32]


def _standing(state: State | None) -> tuple[str, ...]:
    return (str(_meta(state)["expert"]),) if state else ()


def _outcomes(lessons: Sequence[Lesson], expert: Expert, loss: Tensor, right: Tensor) -> dict[str, Outcome]:
    return {
        lesson.digest: Outcome(expert.hash, float(loss[place]), 1, bool(right[place]))
        for place, lesson in enumerate(lessons)
    }


EDITOR = MalmenEditor
