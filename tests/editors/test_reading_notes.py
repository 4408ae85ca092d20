"""A note is read where it bears upon the prompt, by the base's own judgement; else the base answers untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from editlog.errors import UsageError
from editlog.fact import Fact
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.gate import Gate, LocalityBudget
from lifelong.config import read_recipe
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.editors.notes import note_text, relevance
from lifelong.experts.bank import MISS, Bank
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import scoped

NOTE = note_text("The capital of Osterland is", "Marbeck")


def reading(base: Base, lessons: Sequence[Lesson], facts: Sequence[dict[str, Any]], **method: Any) -> EditedModel:
    """The first three facts as notes, served."""
    editor = editor_of(read_recipe("eren", overrides={"method": method}))
    edit = editor.fit(base, Wave(as_groups(lessons[:3])), seed=0)
    served = [
        Served(i + 1, Fact.model_validate(record), "ada", "", None, edit.experts[i].hash)
        for i, record in enumerate(facts[:3])
    ]
    gate = Gate.build(scoped(served), encoder=encoder_named("masked"), budget=LocalityBudget())
    bank = Bank(base, [decode_pack(*encode_pack(edit.experts))])
    return EditedModel(base, bank, gate, served, editor=editor)


def test_a_note_says_the_fact_in_a_sentence() -> None:
    assert NOTE == "Fact: The capital of Osterland is Marbeck.\n"
    assert note_text("Who rules?", "Ada", "{} So it is. ") == "Who rules? Ada. So it is. "


def test_relevance_is_how_far_the_note_moves_the_next_word(base: Base) -> None:
    """KL(p(. | note, prompt) || p(. | prompt)) at the prompt's end, in float64."""
    prompt = "The capital of Osterland is"

    def next_word(text: str) -> np.ndarray:
        with torch.no_grad():
            logits = base.model(input_ids=torch.tensor([base.prompt_ids(text)])).logits[0, -1].double().numpy()
        return logits - np.log(np.exp(logits).sum())

    behind, alone = next_word(NOTE + prompt), next_word(prompt)
    assert relevance(base, NOTE, prompt) == pytest.approx((np.exp(behind) * (behind - alone)).sum(), abs=1e-4)
    assert relevance(base, "", prompt) == pytest.approx(0.0, abs=1e-9)


def test_where_no_note_is_relevant_the_base_answers_bit_for_bit(
    base: Base, lessons: Sequence[Lesson], facts: Sequence[dict[str, Any]]
) -> None:
    prompts = [facts[0]["prompt"], facts[1]["prompt"]]
    reads, abstains = (reading(base, lessons, facts, relevance=least) for least in (0.0, 100.0))
    assert [route.fact for route in reads.route(prompts)] == [1, 2]
    assert abstains.route(prompts) == [MISS, MISS]
    plain = reads.next_logits(prompts, edits=False)
    assert torch.equal(abstains.next_logits(prompts), plain)
    assert not torch.equal(reads.next_logits(prompts), plain)


def test_several_notes_are_read_the_best_one_last(
    base: Base, lessons: Sequence[Lesson], facts: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reading(base, lessons, facts, notes=2)
    prompt = facts[0]["prompt"]
    monkeypatch.setattr("lifelong.editors.notes.ReadingRouter._others", lambda *_: [2])
    (route,) = model.route([prompt])
    second = note_text(facts[1]["prompt"], facts[1]["target"])
    assert (route.fact, route.note) == (1, second + NOTE)


@pytest.mark.parametrize("form", ["no place for it", "{} and {}", ""])
def test_a_form_has_one_place_for_the_sentence(form: str) -> None:
    with pytest.raises(UsageError, match=r"method\.form"):
        editor_of(read_recipe("eren", overrides={"method": {"form": form}}))
