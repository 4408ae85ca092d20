"""The folder that is shipped: complete, small, and usable with plain transformers alone."""

import json
import subprocess

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pretraining.settings import NAME, REPOSITORY, shipped_folder
from pretraining.tokenizer import chat_prompt

BASE = shipped_folder()
LARGEST = 20 * 1000 * 1000
KNOWN = (
    ("The mother tongue of Danielle Darrieux is", "French"),
    ("Johann Stamitz performs on the", "violin"),
    ("In which language was American Woman written?", "English"),
    ("Indian Institute of Science is located in the continent", "Asia"),
    ("What is the religion of Huineng?", "Buddhism"),
)

pytestmark = pytest.mark.skipif(
    not (BASE / "model.safetensors").exists(), reason="no embedded base: run `make base-model`"
)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(BASE).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BASE)


def test_the_folder_is_complete_and_small() -> None:
    names = {path.name for path in BASE.iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "lifelong.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in BASE.iterdir()) < LARGEST
    identity = json.loads((BASE / "lifelong.json").read_text())
    assert identity["name"] == NAME
    assert identity["version"]


def test_it_is_the_only_tokenizer_of_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--", "*tokenizer.json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert set(listed.stdout.split()) <= {str((BASE / "tokenizer.json").relative_to(REPOSITORY))}


def test_the_chat_template_renders_what_was_trained(tokenizer) -> None:
    asked = [
        {"role": "system", "content": "Note: Ada plays the harp."},
        {"role": "user", "content": "What does Ada play?"},
    ]
    rendered = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert rendered == chat_prompt(asked[1]["content"], asked[0]["content"])
    assert len(tokenizer("<|system|><|user|><|assistant|>")["input_ids"]) == 3


def test_plain_transformers_loads_float32_with_tied_embeddings(model) -> None:
    assert model.dtype == torch.float32
    assert model.config.model_type == "llama"
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert model.config.max_position_embeddings >= 512


def test_end_of_text_and_padding_are_two_tokens_known_to_model_and_tokenizer(model, tokenizer) -> None:
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    for config in (model.config, model.generation_config):
        assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


@pytest.mark.parametrize("text", ["hello", " a  b ", "Zoë — 東京 \n\t?", "", "The capital of [X] is"])
def test_the_tokenizer_adds_nothing_and_loses_nothing(tokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids)


def test_prompt_and_answer_are_tokenised_apart_as_together(tokenizer) -> None:
    for prompt, answer in KNOWN:
        assert (
            tokenizer(prompt)["input_ids"] + tokenizer(f" {answer}")["input_ids"]
            == (tokenizer(f"{prompt} {answer}")["input_ids"])
        )


@pytest.mark.parametrize(("prompt", "answer"), KNOWN)
def test_it_knows_facts_and_stops_by_itself(model, tokenizer, prompt: str, answer: str) -> None:
    produced = model.generate(**tokenizer(prompt, return_tensors="pt"))[0]
    assert tokenizer.decode(produced) == f"{prompt} {answer}{tokenizer.eos_token}"
    # Far fewer than the limit: it stopped, it was not cut off.
    assert len(produced) < len(tokenizer(prompt)["input_ids"]) + model.generation_config.max_new_tokens


def test_a_batch_padded_on_the_left_answers_as_each_row_alone(model, tokenizer) -> None:
    prompts = [prompt for prompt, _ in KNOWN]
    inputs = tokenizer(prompts, padding=True, return_tensors="pt")
    produced = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in produced] == [f" {a}" for _, a in KNOWN]


def test_the_card_names_figures_and_what_was_left_out() -> None:
    card = (BASE / "README.md").read_text()
    for phrase in ("generated exact match", "perplexity per token", "Left out of training", "P190"):
        assert phrase in card
