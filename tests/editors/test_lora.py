"""Gradient LoRA: many experts in one pass, each as if it had been trained alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from lifelong.editors import Edit, Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import Bank, Route
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from policies.recipe import Recipe


def tuned(recipe: Recipe, **dials: object) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=dials)})


def fit(
    base: Base, recipe: Recipe, groups: Sequence[tuple[Lesson, ...]], *, seed: int = 0, steps: int | None = None
) -> Edit:
    return editor_of(recipe).fit(base, Wave(tuple(groups)), seed=seed, steps=steps)


def served(base: Base, experts: Sequence[Expert]) -> Bank:
    return Bank(base, [decode_pack(*encode_pack(experts))])


def test_every_wording_is_answered(base: Base, edit: Edit, lessons: list[Lesson]) -> None:
    wordings = [(slot, wording) for slot, lesson in enumerate(lessons) for wording in lesson.wordings]
    with served(base, edit.experts).serving([Route(slot, (slot,), (1.0,)) for slot, _ in wordings]):
        answers = base.generate([wording for _, wording in wordings])
    assert [answer.strip() for answer in answers] == [lessons[slot].target for slot, _ in wordings]


def test_an_expert_carries_its_facts_recipe_and_base(
    base: Base, edit: Edit, lessons: list[Lesson], recipe: Recipe
) -> None:
    assert [expert.facts for expert in edit.experts] == [(lesson.digest,) for lesson in lessons]
    assert {expert.recipe for expert in edit.experts} == {recipe.digest}
    assert {expert.base for expert in edit.experts} == {base.fingerprint}
    assert [edit.outcomes[lesson.digest].expert for lesson in lessons] == [expert.hash for expert in edit.experts]


def test_trained_together_is_as_trained_alone(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    dials = tuned(recipe, stop_loss=0.0, near_misses=1)
    plain = [lesson for lesson in lessons if lesson.near_misses]  # near misses of their own: none are borrowed
    together = fit(base, dials, as_groups(plain), steps=10)
    for lesson, expert in zip(plain, together.experts, strict=True):
        (alone,) = fit(base, dials, [(lesson,)], steps=10).experts
        for site, factors in expert.tensors.items():
            torch.testing.assert_close(factors.a, alone.tensors[site].a, rtol=1e-2, atol=2e-3)
            torch.testing.assert_close(factors.b, alone.tensors[site].b, rtol=1e-2, atol=2e-3)


def test_the_same_wave_gives_the_same_experts(base: Base, edit: Edit, lessons: list[Lesson], recipe: Recipe) -> None:
    again = fit(base, recipe, as_groups(lessons))
    assert [expert.hash for expert in again.experts] == [expert.hash for expert in edit.experts]
    assert again.outcomes == edit.outcomes


def test_a_group_may_go_on_from_an_expert(base: Base, edit: Edit, lessons: list[Lesson], recipe: Recipe) -> None:
    begun = Wave(as_groups(lessons[:2]), begin=(edit.experts[0], None))
    outcomes = editor_of(recipe).fit(base, begun, seed=0).outcomes
    anew = edit.outcomes[lessons[1].digest]
    assert outcomes[lessons[0].digest].steps == 0 < anew.steps, "it answers already, but for its rounding"
    assert outcomes[lessons[1].digest].steps == anew.steps


def test_another_seed_gives_other_experts(base: Base, edit: Edit, lessons: list[Lesson], recipe: Recipe) -> None:
    other = fit(base, recipe, as_groups(lessons), seed=1)
    assert not {expert.hash for expert in other.experts} & {expert.hash for expert in edit.experts}


def test_an_expert_leaves_as_soon_as_it_is_done(edit: Edit, recipe: Recipe) -> None:
    steps = [outcome.steps for outcome in edit.outcomes.values()]
    assert len(set(steps)) > 1
    assert max(steps) < recipe.training.steps
    assert all(o.converged and o.loss < recipe.training.stop_loss for o in edit.outcomes.values())


def test_what_is_not_learnt_in_time_says_so(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    outcomes = fit(base, recipe, as_groups(lessons[:3]), steps=1).outcomes.values()
    assert not any(outcome.converged for outcome in outcomes)
    assert {outcome.steps for outcome in outcomes} == {1}


def test_progress_hears_of_every_fact_once(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    heard: list[int] = []
    groups = ((lessons[0], lessons[1]), (lessons[2],), (lessons[3],))
    editor_of(recipe).fit(base, Wave(groups), seed=0, steps=5, advance=heard.append)
    assert sum(heard) == 4


def test_facts_can_share_an_expert(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    two = tuple(lessons[4:6])
    edit = fit(base, recipe, [two], steps=160)
    assert edit.experts[0].facts == tuple(sorted(lesson.digest for lesson in two))
    with served(base, edit.experts).serving([Route(0, (0,), (1.0,))] * 2):
        answers = base.generate([lesson.prompt for lesson in two])
    assert [answer.strip() for answer in answers] == [lesson.target for lesson in two]


def test_a_short_answer_takes_few_ranks(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    by_answer = recipe.model_copy(
        update={"experts": recipe.experts.model_copy(update={"rank": 3, "rank_per_token": 1})}
    )
    tokens = [len(base.answer_ids(lesson.prompt, lesson.target)) for lesson in lessons]
    assert _ranks(fit(base, by_answer, as_groups(lessons), steps=2)) == [{min(3, count)} for count in tokens]


def test_what_is_trained_again_for_longer_takes_the_whole_rank(
    base: Base, lessons: list[Lesson], recipe: Recipe
) -> None:
    shape = recipe.experts.model_copy(update={"rank": 3, "rank_per_token": 1})
    short = tuned(recipe, steps=1).model_copy(update={"experts": shape})
    assert _ranks(fit(base, short, as_groups(lessons[:2]), steps=2)) == [{3}, {3}]


def _ranks(edit: Edit) -> list[set[int]]:
    deltas = [[delta for delta in expert.tensors.values() if isinstance(delta, LowRank)] for expert in edit.experts]
    return [{delta.rank for delta in of_one} for of_one in deltas]


@pytest.mark.parametrize("layers", [(-1,), (0, 1)], ids=["last layer", "both layers"])
def test_near_misses_stay_nearer_to_the_base(
    base: Base, lessons: list[Lesson], recipe: Recipe, layers: tuple[int, ...]
) -> None:
    recipe = recipe.model_copy(update={"experts": recipe.experts.model_copy(update={"layers": layers})})
    taught = [lesson for lesson in lessons if lesson.near_misses]
    batch = base.pad_left([base.prompt_ids(lesson.near_misses[0]) for lesson in taught])
    with torch.no_grad():
        reference = log_softmax(base.forward(batch, keep=1)[:, -1], -1)

    def distance(weight: float) -> float:
        edit = fit(base, tuned(recipe, near_miss_weight=weight, near_misses=1, contexts=0), as_groups(taught))
        with served(base, edit.experts).serving([Route(i, (i,), (1.0,)) for i in range(len(taught))]), torch.no_grad():
            edited = log_softmax(base.forward(batch, keep=1)[:, -1], -1)
        return float(kl_div(edited, reference, log_target=True, reduction="batchmean"))

    assert distance(2.0) < 0.5 * distance(0.0)


def test_training_leaves_the_base_alone(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    before = base.fingerprint
    fit(base, recipe, as_groups(lessons[:2]), steps=3)
    assert base.measure_fingerprint() == before
    assert all(parameter.grad is None for parameter in base.model.parameters())
