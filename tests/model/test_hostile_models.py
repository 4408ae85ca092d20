"""Whatever lies in a model folder is data: no code of it runs and no path in it is followed."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from editlog.errors import UsageError
from lifelong.models.base import Base

CODE = "from pathlib import Path\nPath('bomb-went-off').touch()\nclass Model: pass\n"


class Bomb:
    """Goes off where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("bomb-went-off"),)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a sound model folder; the working directory is another, empty one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return shutil.copytree(tiny_model, tmp_path / "model")


def configured(model: Path, **changes: Any) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_code(model: Path) -> None:
    (model / "modeling.py").write_text(CODE)
    configured(model, model_type="unheard-of", auto_map={"AutoModelForCausalLM": "modeling.Model"})


def test_code_of_a_model_runs_only_if_it_is_asked_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other half of the table below: `trust_remote_code` is what makes the difference."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(model.parent / "modules"))
    configured(model, model_type="unheard-of", auto_map={"AutoConfig": "modeling.Settings"})
    (model / "modeling.py").write_text(CODE)
    with pytest.raises(UsageError, match="runs only if --trust-remote-code says so"):
        Base.load(str(model))
    assert not Path("bomb-went-off").exists()
    with pytest.raises(UsageError):  # this one's code is no model
        Base.load(str(model), trust_remote_code=True)
    assert Path("bomb-went-off").exists()


def with_code_of_a_tokenizer(model: Path) -> None:
    (model / "tokens.py").write_text(CODE)
    path = model / "tokenizer_config.json"
    record = json.loads(path.read_text()) | {
        "tokenizer_class": "Own",
        "auto_map": {"AutoTokenizer": ["tokens.Own", None]},
    }
    path.write_text(json.dumps(record))
    configured(model, model_type="unheard-of", auto_map={"AutoConfig": "tokens.Own"})


def with_pickled_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


def with_a_pickle_for_weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes(pickle.dumps(Bomb()))


def with_cut_weights(model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[: len(content) // 2])


def with_other_widths(model: Path) -> None:
    configured(model, hidden_size=128)


def with_an_index_that_leads_outside(model: Path) -> None:
    (model / "model.safetensors").rename(model.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "../outside.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def with_some_weights_only(model: Path) -> None:
    """transformers would fill up with random ones."""
    weights = load_file(model / "model.safetensors")
    save_file(dict(list(weights.items())[:3]), model / "model.safetensors", {"format": "pt"})


def as_an_adapter(model: Path) -> None:
    """PEFT's form of it: transformers would load the model from the path it names."""
    other = shutil.copytree(model, model.parent / "other")
    (model / "config.json").unlink()
    (model / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(other), "target_modules": ["q_proj"]})
    )


def as_an_adapter_named_by_a_path(model: Path) -> None:
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../../../etc/passwd"}))


def with_a_config_that_is_no_json(model: Path) -> None:
    (model / "config.json").write_bytes(b"\xff\x00{")


def with_a_config_of_another_kind(model: Path) -> None:
    (model / "config.json").write_text("[]")


def with_a_config_too_deep(model: Path) -> None:
    (model / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def with_words_for_numbers(model: Path) -> None:
    configured(model, hidden_size="../..", num_hidden_layers="many")


def with_negative_sizes(model: Path) -> None:
    configured(model, hidden_size=-64, vocab_size=-1)


def with_a_broken_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text('{"model": {"type": "\\u001b[31m"}}')


def without_anything(model: Path) -> None:
    shutil.rmtree(model)


HARMS = [found for name, found in globals().items() if name.startswith(("with_", "as_", "without_"))]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_hostile_model_folder_is_refused(
    model: Path, harm: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(_: str = "") -> str:
        raise AssertionError("nobody may be asked whether to run foreign code")

    monkeypatch.setattr("builtins.input", asked)
    harm(model)
    with pytest.raises(UsageError) as caught:
        Base.load(str(model))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert list(Path().iterdir()) == []
