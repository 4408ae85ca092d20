"""Batches are a pure function of the step, and say exactly what is learned."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pretraining.batches import IGNORED, Batch, Batches
from pretraining.corpus import KnownFact
from pretraining.settings import Settings
from pretraining.tokenizer import END_OF_TEXT, PADDING
from pretraining.train import Progress, new_model, rate_share, train

SETTINGS = Settings(
    vocabulary=258,
    hidden=8,
    layers=1,
    heads=2,
    feed_forward=8,
    fact_rows=4,
    note_rows=4,
    text_rows=2,
    text_length=12,
    note_first_steps=0,
    warm_facts=2,
    warm_steps=8,
)
FACTS = [
    KnownFact("pararel", "P19", name, place, (f"{name} was born in", f"Where was {name} born?"), (), ("Paris", "Bern"))
    for name, place in (("Adah", "London"), ("Boaz", "Oslo"), ("Cyme", "Rome"))
]
TEXT = ["It rained .", "All was well in the end .", "Nobody came to see them go ."]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes: no training, every text in many tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([END_OF_TEXT, PADDING, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END_OF_TEXT, pad_token=PADDING)


@pytest.fixture
def batches(tokenizer: PreTrainedTokenizerFast) -> Batches:
    return Batches(FACTS, TEXT, tokenizer, SETTINGS)


def rows_of(batch: Batch, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, str]]:
    """Return what stands before the learned part of every row, and the learned part."""
    rows = []
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        first = int((labels != IGNORED).nonzero()[0])
        rows.append((tokenizer.decode(ids[: first + 1]), tokenizer.decode(labels[labels != IGNORED])))
    return rows


def test_only_the_answer_and_the_end_are_learned(batches: Batches, tokenizer: PreTrainedTokenizerFast) -> None:
    asked = {prompt: fact.object for fact in FACTS for prompt in fact.seen}
    forms: set[bool] = set()
    for step in range(24):
        for before, learned in rows_of(batches.facts_at(step), tokenizer):
            prompt = next(prompt for prompt in asked if prompt in before)
            assert learned == f" {asked[prompt]}{END_OF_TEXT}"
            forms.add(before == prompt)
    assert forms == {True, False}, "bare prompts, and prompts in another form"


def test_a_note_about_the_fact_asked_changes_the_answer_and_no_other_note_does(
    batches: Batches, tokenizer: PreTrainedTokenizerFast
) -> None:
    truth = {fact.subject: fact.object for fact in FACTS}
    seen: set[bool] = set()
    for step in range(24):
        for before, learned in rows_of(batches.notes_at(step), tokenizer):
            answer = learned.removesuffix(END_OF_TEXT).strip()
            subject = max(truth, key=before.rfind)
            told = f" {answer}." in before
            assert told or answer == truth[subject], before
            seen.add(answer == truth[subject])
    assert seen == {True, False}


def test_the_first_notes_all_bear_upon_the_prompt_and_many_stand_beside_another(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    batches = Batches(FACTS, TEXT, tokenizer, replace(SETTINGS, note_first_steps=16, note_rows=8))
    told = []
    for step in range(16):
        for before, learned in rows_of(batches.notes_at(step), tokenizer):
            assert f" {learned.removesuffix(END_OF_TEXT).strip()}." in before
            told.append(sum(before.count(f" {place}.") for place in ("Paris", "Bern")))
    assert {1, 2} <= set(told)
    assert torch.equal(batches.facts_at(16).ids, Batches(FACTS, TEXT, tokenizer, SETTINGS).facts_at(0).ids)


def test_some_facts_are_visited_first_then_each_before_any_again(batches: Batches) -> None:
    warm = [batches.visited(visit) for visit in range(8 * 4)]
    assert len(set(warm)) == 2
    later = [batches.visited(8 * 4 + visit) for visit in range(9)]
    assert all(sorted(later[start : start + 3]) == [0, 1, 2] for start in (0, 3, 6))


def test_a_step_gives_the_same_batch_in_any_order(tokenizer: PreTrainedTokenizerFast) -> None:
    forward, backward = (Batches(FACTS, TEXT, tokenizer, SETTINGS) for _ in range(2))
    taken = {step: _parts(forward, step) for step in range(12)}
    for step in reversed(range(12)):
        for here, there in zip(taken[step], _parts(backward, step), strict=True):
            assert torch.equal(here.ids, there.ids)
            assert torch.equal(here.labels, there.labels)


def _parts(batches: Batches, step: int) -> tuple[Batch, Batch, Batch]:
    return batches.facts_at(step), batches.notes_at(step), batches.text_at(step)


def test_running_text_starts_with_end_of_text_and_a_document(
    batches: Batches, tokenizer: PreTrainedTokenizerFast
) -> None:
    for ids in batches.text_at(0).ids:
        assert ids[0] == tokenizer.eos_token_id
        assert any(document.startswith(tokenizer.decode(ids[1:8])) for document in TEXT)


def test_a_prompt_has_no_end_of_text_before_it(batches: Batches, tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.eos_token_id not in [*batches.facts_at(3).ids[:, 0], *batches.notes_at(3).ids[:, 0]]


def test_the_rate_warms_up_stays_and_decays() -> None:
    settings = Settings(steps=100, warmup_steps=10, decay_steps=20)
    assert rate_share(0, settings) == pytest.approx(0.1)
    assert {rate_share(step, settings) for step in range(10, 80)} == {1.0}
    assert rate_share(90, settings) == pytest.approx(0.5)
    assert 0 < rate_share(99, settings) <= 0.05


def test_training_stopped_and_resumed_ends_with_the_same_weights(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=6, warmup_steps=2, decay_steps=3, checkpoint_every=2)

    class StoppedError(RuntimeError):
        pass

    def stop_at_four(progress: Progress) -> None:
        if progress.step == 4:
            raise StoppedError

    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    batches = Batches(FACTS, TEXT, tokenizer, settings)
    whole = train(batches, tokenizer, tmp_path / "whole", settings)
    with pytest.raises(StoppedError):
        train(batches, tokenizer, tmp_path / "halves", settings, on_checkpoint=stop_at_four)
    resumed = train(batches, tokenizer, tmp_path / "halves", settings)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert not torch.equal(whole.lm_head.weight, new_model(tokenizer, settings).lm_head.weight)
