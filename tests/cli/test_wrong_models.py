"""What is no model that can be edited is refused by `init`: one sentence, exit code 2, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import Cli

from lifelong.workspace import Workspace

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def an_empty_folder(_: Path) -> None:
    """Nothing in it."""


def a_folder_of_something_else(folder: Path) -> None:
    (folder / "notes.txt").write_text("not a model")
    (folder / "config.json").write_text('{"colour": "green"}')


def a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text('{"prompt": "p", "target": "t"}\n')


def pickled_weights(folder: Path) -> None:
    configured(folder, model_type="llama", **SMALL)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def no_weights(folder: Path) -> None:
    configured(folder, model_type="llama", **SMALL)
    (folder / "model.safetensors").unlink()


def gptq(folder: Path) -> None:
    configured(folder, model_type="llama", **SMALL, quantization_config={"quant_method": "gptq", "bits": 4})


def awq(folder: Path) -> None:
    configured(folder, model_type="llama", **SMALL, quantization_config={"quant_method": "awq", "bits": 4})


def an_encoder_decoder(folder: Path) -> None:
    configured(folder, model_type="t5", d_model=64, num_layers=1, num_heads=2)


def configured(folder: Path, **settings: Any) -> None:
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").touch()


WRONG: dict[Callable[[Path], None], str] = {
    an_empty_folder: "there is no config.json in it",
    a_folder_of_something_else: "cannot load the model",
    a_file: "it is a file",
    pickled_weights: "its weights are pickled (pytorch_model.bin)",
    no_weights: "there are no weights",
    gptq: "quantised by gptq",
    awq: "quantised by awq",
    an_encoder_decoder: "t5 reads with an encoder",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_what_is_no_decoder_is_refused(tmp_path: Path, wrong: Callable[[Path], None]) -> None:
    (tmp_path / "model").mkdir()
    wrong(tmp_path / "model")
    refused(tmp_path, WRONG[wrong])


def test_an_encoder_is_told_by_what_it_reads(tmp_path: Path, tokenizer_path: Path) -> None:
    """transformers makes a language model of it that sees the words it is to predict."""
    from transformers import AutoTokenizer, BertConfig, BertLMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    BertLMHeadModel(BertConfig(vocab_size=len(tokenizer), **SMALL)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    refused(tmp_path, "lets a token see what comes behind it")


def test_a_tokenizer_without_an_end_says_what_to_set(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": None}))
    refused(tmp_path, "set eos_token in its tokenizer_config.json")


@pytest.mark.parametrize("words", ["rebase --out new", "bench --data facts.jsonl"])
def test_other_verbs_that_take_a_model_refuse_it_alike(
    words: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.jsonl").write_text('{"prompt": "Bread is", "target": "good"}\n')
    (tmp_path / "empty").mkdir()
    done = Cli(workspace.home)(*words.split(), "--model", "empty")
    assert (done.code, done.out) == (2, "")
    assert "there is no config.json in it" in done.err


def refused(place: Path, why: str) -> None:
    """`init` says why, in one line."""
    done = Cli(place / "home")("init", "--model", str(place / "model"))
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert not (place / "home").exists()
