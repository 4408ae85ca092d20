"""Every recipe goes the same way: edit, persist, reload in another bank, route, answer among misses, take back.

A new recipe is one line in RECIPES: how its dials fit random models of two layers, and what it promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from families import tiny
from torch import Tensor

from editlog.fact import Fact
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.gate import Gate, LocalityBudget
from lifelong.config import read_recipe, recipe_names
from lifelong.editors import CannotForget, Editor, Lesson, Wave, as_groups, editor_of
from lifelong.editors.preparation import Corpus
from lifelong.editors.state import State, read_state, write_state
from lifelong.experts.bank import Bank, Route
from lifelong.experts.expert import Expert
from lifelong.experts.pack import alike, read_pack, write_pack
from lifelong.jobs.training import lesson_of
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import scoped

ARCHITECTURES = ("llama", "gpt2", "opt")
Records = Sequence[dict[str, Any]]
SMALL = {"experts": {"rank": 4}, "training": {"value_rate": 0.1, "key_rate": 3.0}}


@dataclass(frozen=True)
class Promise:
    """Dials for a tiny random model, and what the recipe promises.

    `scoped`: misses keep the base's bits. `learns`: of how many of the six facts the first word is likelier at the end;
    `exact`: all are answered, word by word (what is written at one token of a random model of two layers cannot carry
    that, and a note is obeyed by a model that learned to read). `forgets`: one fact can be taken out of what it
    accumulated, exactly; None where facts stand alone.
    """

    dials: dict[str, dict[str, Any]] = field(default_factory=dict)
    scoped: bool = True
    learns: int = 5
    exact: bool = False
    forgets: bool | None = None


EXACT = {"stop_loss": 0.02, "layers": [0], "clamp": 0.0, "kl": 0.0, "steps": 60, "contexts": 0}
LTE = {"rounds": 2, "lessons": 4, "steps": 3}
RECIPES = {
    "default": Promise(SMALL, exact=True),
    "grace": Promise({"method": {"layer": 0, "radius": 1e-2, "rate": 1.0}}),
    "eren": Promise(learns=0),
    "lte": Promise({"experts": {"layers": [-1]}, "method": LTE}, learns=0),
    "melo": Promise({**SMALL, "growth": {"facts_per_expert": 1}, "method": {"layer": 0, "radius": 1e-2}}, exact=True),
    "lora": Promise({"method": {"rate": 0.02}}, scoped=False, learns=2, forgets=False),
    "rome": Promise({"method": EXACT}, scoped=False, forgets=True),
    "memit": Promise({"method": {**EXACT, "preserve": 1e-3}}, scoped=False, forgets=True),
    "coachhook": Promise({"method": {**EXACT, "preserve": 1e-3}}, scoped=False, forgets=True),
    "malmen": Promise(
        {"method": {"layers": [0], "meta_steps": 4, "meta_batch": 8, "rank": 8, "contexts": 0}},
        scoped=False,
        forgets=True,
    ),
    "mocle": Promise({**SMALL, "method": {"layer": -1, "clusters": 2, "rate": 0.02}}, learns=2, forgets=False),
    "memoe": Promise({**SMALL, "method": {"layer": -1, "experts": 2, "rate": 0.02}}, learns=2, forgets=False),
    "elder": Promise(
        {
            "experts": {"rank": 4, "layers": [-1]},
            "method": {"experts": 16, "top": 4, "rate": 0.02, "guide": 1.0, "within": 1},
        },
        learns=2,
        forgets=False,
    ),
    "lemoe": Promise({**SMALL, "growth": {"facts_per_expert": 1}}),
    "scen": Promise({**SMALL, "method": {"layer": -1}}, exact=True),
    "emmet": Promise({"method": {**EXACT, "ridge": 1e-6}}, scoped=False, forgets=True),
}


@dataclass
class World:
    """What a recipe made of six facts in two waves on one base."""

    base: Base
    records: Records
    editor: Editor
    experts: dict[str, Expert]
    expert_of: dict[str, str]
    state: State | None

    @property
    def prompts(self) -> list[str]:
        return [record["prompt"] for record in self.records]

    @property
    def targets(self) -> list[str]:
        return [record["target"] for record in self.records]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, strangers: tuple[str, ...]) -> Iterator[Corpus]:
    """A little text, and a cache of the module's own for what is learned of it."""
    directory = tmp_path_factory.mktemp("corpus")
    path = directory / "texts.txt"
    path.write_text("\n".join(strangers * 4), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFELONG_CACHE", str(directory))
        yield Corpus(path)


@pytest.fixture(scope="module")
def worlds(tokenizer_path: Path, facts: Records, corpus: Corpus) -> Any:

    @cache
    def base_of(architecture: str) -> Base:
        return Base(*tiny(architecture, tokenizer_path), architecture)

    @cache
    def world(name: str, architecture: str) -> World:
        # Without a subject a fact's place is the prompt's end: in two random layers nothing earlier has a say.
        six = [{key: value for key, value in record.items() if key != "subject"} for record in facts[:6]]
        return edited(name, base_of(architecture), (six[:4], six[4:]), corpus)

    return world


def lessons(records: Records) -> list[Lesson]:
    return [lesson_of(Fact.model_validate(record)) for record in records]


def edited(name: str, base: Base, waves: Sequence[Records], corpus: Corpus) -> World:
    """A job in small: one wave after another, the state carried on."""
    recipe = read_recipe(name, overrides=RECIPES[name].dials)
    made = World(base, [record for records in waves for record in records], editor_of(recipe, corpus), {}, {}, None)
    shared = made.editor.shared(base, seed=0)
    made.experts = {shared.hash: shared} if shared else {}
    for records in waves:
        edit = made.editor.fit(base, Wave(as_groups(lessons(records))), seed=0, state=made.state, steps=60)
        assert set(edit.outcomes) == {lesson.digest for lesson in lessons(records)}
        made.experts = {h: e for h, e in made.experts.items() if h not in edit.retires}
        made.experts |= {expert.hash: expert for expert in edit.experts}
        made.state = edit.state
    made.expert_of = {fact: one.hash for one in made.experts.values() for fact in one.facts}
    return made


def served(world: World, records: Records) -> list[Served]:
    facts = [Fact.model_validate(record) for record in records]
    return [Served(i + 1, fact, "ada", "", None, world.expert_of[fact.digest]) for i, fact in enumerate(facts)]


def model_of(world: World, directory: Path, records: Records | None = None) -> EditedModel:
    """The edited model as a reader has it: packs and state written, read back, and put into a bank."""
    names = [write_pack(directory, part) for part in alike(world.experts.values())]
    kept = write_state(directory, world.state) if world.state else None
    bank = Bank(world.base, [read_pack(directory, name) for name in names])
    facts = served(world, world.records if records is None else records)
    gate = Gate.build(scoped(facts), encoder=encoder_named("masked"), budget=LocalityBudget())
    state = read_state(directory, kept) if kept else None
    return EditedModel(world.base, bank, gate, facts, editor=world.editor, state=state)


def plain_logits(base: Base, prompts: Sequence[str]) -> Tensor:
    with torch.no_grad():
        return base.forward(base.pad_left([base.prompt_ids(prompt) for prompt in prompts]), keep=1)[:, -1]


every_recipe = pytest.mark.parametrize("name", RECIPES)
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def test_every_shipped_recipe_is_in_the_table() -> None:
    assert set(RECIPES) == set(recipe_names())


@every_architecture
@every_recipe
def test_it_says_its_targets_once_reloaded(name: str, architecture: str, worlds: Any, tmp_path: Path) -> None:
    world = worlds(name, architecture)
    model = model_of(world, tmp_path)
    first = torch.tensor([world.base.answer_ids(*pair)[0] for pair in zip(world.prompts, world.targets, strict=True)])[
        :, None
    ]
    after, before = (model.next_logits(world.prompts, edits=edits).log_softmax(-1) for edits in (True, False))
    nearer = after.gather(1, first) > before.gather(1, first)
    assert int(nearer.sum()) >= RECIPES[name].learns
    if RECIPES[name].exact:
        answers = model.generate(world.prompts, max_new_tokens=8)
        assert [answer.strip() for answer in answers] == world.targets


@every_architecture
@every_recipe
def test_a_batch_mixes_hits_and_misses(
    name: str, architecture: str, worlds: Any, strangers: tuple[str, ...], tmp_path: Path
) -> None:
    """Each row as it is by itself; under a scoped recipe a stranger keeps the base's own bits."""
    world = worlds(name, architecture)
    model = model_of(world, tmp_path)
    prompts = [world.prompts[0], strangers[0], world.prompts[5], strangers[3]]
    mixed, plain = model.next_logits(prompts), plain_logits(world.base, prompts)
    routes = model.route(prompts)
    if RECIPES[name].scoped:
        assert [route.fact for route in routes] == [1, None, 6, None]
        assert torch.equal(mixed[[1, 3]], plain[[1, 3]])
    else:
        assert {route.fact for route in routes} == {None}
    assert not torch.equal(mixed[0], plain[0])
    for row, prompt in enumerate(prompts):
        torch.testing.assert_close(model.next_logits([prompt])[0], mixed[row], rtol=1e-3, atol=1e-3)
    assert torch.equal(model.next_logits(prompts, edits=False), plain)


@every_recipe
def test_teacher_forcing_agrees_with_generation(name: str, worlds: Any, tmp_path: Path) -> None:
    world = worlds(name, "llama")
    model = model_of(world, tmp_path)
    answers = model.generate(world.prompts, max_new_tokens=8)
    forced = model.target_logits(list(zip(world.prompts, world.targets, strict=True)))
    for answer, target, score in zip(answers, world.targets, forced, strict=True):
        assert (answer.strip() == target) == (score.matched == score.total)


@every_recipe
def test_what_is_reloaded_has_the_same_bits(name: str, worlds: Any, tmp_path: Path) -> None:
    world = worlds(name, "llama")
    one, other = (model_of(world, tmp_path / which) for which in ("one", "other"))
    assert torch.equal(one.next_logits(world.prompts), other.next_logits(world.prompts))
    again = edited(name, world.base, (world.records[:4], world.records[4:]), world.editor.corpus)
    assert sorted(again.experts) == sorted(world.experts)
    assert (again.state and again.state.name) == (world.state and world.state.name)


@every_recipe
def test_a_fact_is_taken_back(name: str, worlds: Any, tmp_path: Path) -> None:
    world = worlds(name, "llama")
    gone, rest = Fact.model_validate(world.records[1]), [world.records[0], *world.records[2:]]
    promise = RECIPES[name]
    if promise.forgets is None:
        model = model_of(world, tmp_path, rest)
        assert model.route([gone.prompt]) == [Route(None)]
        assert torch.equal(model.next_logits([gone.prompt]), plain_logits(world.base, [gone.prompt]))
    elif promise.forgets:
        edit = world.editor.forget(world.base, frozenset({gone.digest}), world.state)
        never = edited(name, world.base, (rest[:3], rest[3:]), world.editor.corpus)
        assert edit.retires == tuple(world.experts)
        assert [sorted(expert.facts) for expert in edit.experts] == [sorted(never.expert_of)]
        for site, delta in edit.experts[0].tensors.items():
            expected = next(iter(never.experts.values())).tensors[site]
            torch.testing.assert_close(delta.parts, expected.parts, rtol=1e-3, atol=1e-4)
    else:
        with pytest.raises(CannotForget):
            world.editor.forget(world.base, frozenset({gone.digest}), world.state)


def test_all_facts_can_be_forgotten(worlds: Any) -> None:
    for name, promise in RECIPES.items():
        if promise.forgets:
            world = worlds(name, "llama")
            edit = world.editor.forget(world.base, frozenset(world.expert_of), world.state)
            assert (edit.experts, edit.state, edit.retires) == ((), None, tuple(world.experts))


@every_recipe
def test_the_base_is_as_it_was(name: str, worlds: Any) -> None:
    base = worlds(name, "llama").base
    assert base.measure_fingerprint() == base.fingerprint
