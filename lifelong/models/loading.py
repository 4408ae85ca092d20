"""Model folders and hub ids to a model and its tokenizer, or one sentence that says why not and what to do.

Only safetensors are read, in one file or in shards. No code of the folder runs unless `trust_remote_code` says so.
Nothing here knows an architecture by name.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from editlog.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AUTO = "auto"
"""The device that leaves the choice to `accelerate`: the one of the machine's that holds the model."""

QUANTISED_BY = {"bitsandbytes": "bitsandbytes"}
"""Quantised weights that can be edited: the method by its name in config.json, and the library it needs."""


def load(
    path: str, *, device: str, dtype: str, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a decoder and its tokenizer onto a device; raises UsageError where it cannot be had, with the reason."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_device(device)
    _check_folder(Path(path))
    # False, not the default: unsaid, transformers asks on the terminal whether to run the folder's code.
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    quantised = check_config(config)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    placed: dict[str, Any] = {}
    if quantised or device == AUTO:
        placed["device_map"] = AUTO if device == AUTO else {"": device}
    loaded, found = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **placed,
    )
    if missing := sorted(found["missing_keys"]):  # transformers would make up random ones
        raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    check_placement(getattr(loaded, "hf_device_map", None) or {})
    return (loaded if placed else loaded.to(device)), tokenizer


def check_placement(placed: Mapping[str, Any]) -> None:
    """Raise UsageError unless accelerate put the whole model on one device (`placed`: module path to device)."""
    devices = sorted({str(device) for device in placed.values()})
    if {"disk", "meta"} & set(devices) or len(devices) > 1:
        raise UsageError(
            f"it does not fit on one device (accelerate would spread it over {', '.join(devices)}), and experts are"
            " trained and served on one; use a larger device, dtype bfloat16, or a base quantised with bitsandbytes"
        )


def check_device(device: str) -> None:
    """Raise UsageError where this machine or this torch has no such device."""
    kind, _, number = device.partition(":")
    if kind == AUTO and importlib.util.find_spec("accelerate") is None:
        raise UsageError("device auto places the model with accelerate; install it with `pip install accelerate`")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "there is no CUDA device here, or this torch is a build without CUDA; use device cpu, or install torch"
            " from https://download.pytorch.org/whl"
        )
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise UsageError(f"there is no {device}: this machine has {torch.cuda.device_count()} CUDA devices, from 0")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no mps device here; it needs macOS on Apple silicon. Use device cpu")


def check_config(config: Any) -> bool:
    """Whether a model's weights are quantised; raises UsageError where it is no decoder or cannot be edited."""
    if getattr(config, "is_encoder_decoder", False):
        raise UsageError(f"{config.model_type} reads with an encoder; lifelong edits decoders (causal language models)")
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return False
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    method = str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))
    library = QUANTISED_BY.get(method)
    if library is None:
        raise UsageError(
            f"its weights are quantised by {ascii(method)[1:-1]}, whose layers are not linear modules that an expert"
            " can be attached to and trained behind; use the unquantised model, or one quantised with bitsandbytes"
        )
    if importlib.util.find_spec(library) is None:
        raise UsageError(f"its weights are quantised by {method}; install that with `pip install {library}`")
    return True


def _check_folder(folder: Path) -> None:
    """Refuse a model folder whose files name paths to be followed; raises ValueError."""
    if (folder / "adapter_config.json").exists():
        raise ValueError("it is an adapter, not a model; name the model that it was trained on")
    for index in folder.glob("*.index.json"):
        for name in set(json.loads(index.read_bytes())["weight_map"].values()):
            if Path(name).name != name:
                raise ValueError(f"{index.name} leads outside of its folder, to {name}")
