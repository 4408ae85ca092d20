"""Options against what an edit does beside its fact: RECT, SAUL's concatenation, LTI's constraint on the output."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.editors.regularisers import MAX_CONCATENATED, concatenated, informed_loss, rect
from lifelong.editors.views import wave_rows
from lifelong.experts.kinds import Dense
from lifelong.models.base import Base
from policies.recipe import OPTIONS, Recipe, Training


def tuned(recipe: Recipe, **dials: object) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=dials)})


def test_rect_keeps_the_largest_relative_changes() -> None:
    draw = np.random.default_rng(0)
    change, weight = draw.normal(size=(4, 5)), draw.normal(size=(4, 5))
    relative = np.abs(change) / np.abs(weight)
    expected = np.where(relative >= np.sort(relative.ravel())[-6], change, 0.0)
    np.testing.assert_array_equal(rect(torch.from_numpy(change), torch.from_numpy(weight), 0.3).numpy(), expected)


def test_the_constraint_is_the_divergence_from_the_informed_base() -> None:
    draw = np.random.default_rng(1)
    counted = np.array([[False, True, True], [True, True, True]])
    logits, informed = draw.normal(size=(5, 7)), draw.normal(size=(2, 3, 7))
    informed -= np.log(np.exp(informed).sum(-1, keepdims=True))
    edited = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    far = (np.exp(informed[counted]) * (informed[counted] - edited)).sum(-1)
    found = informed_loss(*(torch.from_numpy(x) for x in (logits, informed, counted)))
    np.testing.assert_allclose(found.numpy(), [far[:2].mean(), far[2:].mean()])


def test_a_sentence_behind_the_target_is_predicted_from_its_second_token(base: Base, lessons: list[Lesson]) -> None:
    texts = ["The mill stood by the old river."]
    (row,) = concatenated(base, Wave(as_groups(lessons[:1])), texts, 3)
    read = base.tokenizer.decode(row.prompt)
    whole = base.tokenizer.decode([*row.prompt, *row.answer])
    assert read.startswith(f"{lessons[0].prompt} {lessons[0].target}.")
    assert whole.startswith(f"{lessons[0].prompt} {lessons[0].target}. The mill")
    assert row.beside and 0 < len(row.answer) <= MAX_CONCATENATED


def test_the_informed_prompt_states_the_fact_first(base: Base, lessons: list[Lesson]) -> None:
    rows = wave_rows(base, Wave(as_groups(lessons[:1])), contexts=0, near_misses=1, informed=True)
    stated = [base.tokenizer.decode(row.informed) for row in rows if row.answer]
    assert stated[0] == f"{lessons[0].prompt} {lessons[0].target}. {lessons[0].prompt}"
    assert not any(row.informed for row in rows if not row.answer)


def test_sentences_behind_the_target_change_the_expert_and_the_fact_is_learnt(
    base: Base, lessons: list[Lesson], recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifelong.editors.Corpus.texts", lambda *_: ["The mill stood by the old river."])
    wave = Wave(as_groups(lessons[:2]))
    plain, other = (editor_of(one).fit(base, wave, seed=0) for one in (recipe, tuned(recipe, saul_facts=1)))
    assert {expert.hash for expert in plain.experts}.isdisjoint(expert.hash for expert in other.experts)
    assert all(end.converged for end in other.outcomes.values())


def test_the_constraint_keeps_an_edit_from_certainty(base: Base, lessons: list[Lesson], recipe: Recipe) -> None:
    wave = Wave(as_groups(lessons[:2]))
    held = [editor_of(tuned(recipe, lti_weight=weight)).fit(base, wave, seed=0, steps=20) for weight in (0.0, 0.5)]
    for lesson in lessons[:2]:
        assert held[0].outcomes[lesson.digest].loss < held[1].outcomes[lesson.digest].loss


def test_rect_leaves_a_whole_matrix_of_which_it_kept_the_share(
    base: Base, lessons: list[Lesson], recipe: Recipe
) -> None:
    (expert,) = editor_of(tuned(recipe, rect_keep=0.4)).fit(base, Wave(as_groups(lessons[:1])), seed=0, steps=5).experts
    assert expert.kind == "dense"
    for delta in expert.tensors.values():
        assert isinstance(delta, Dense)
        assert float((delta.w != 0).float().mean()) == pytest.approx(0.4, abs=0.02)


def test_options_that_are_off_leave_a_recipe_its_digest(recipe: Recipe) -> None:
    off, turned_on = Training(), {"rect_keep": 0.5, "saul_facts": 1, "lti_weight": 0.5}
    options = [option for section, option in OPTIONS if section == "training"]
    assert tuned(recipe, **{option: getattr(off, option) for option in options}).digest == recipe.digest
    assert len({recipe.digest, *(tuned(recipe, **{option: on}).digest for option, on in turned_on.items())}) == 1 + len(
        turned_on
    )
