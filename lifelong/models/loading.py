"""Model folders and hub ids to a model and its tokenizer, or one sentence that says why not and what to do.

Only safetensors are read, in one file or in shards. No code of the folder runs unless `trust_remote_code` says so.
Nothing here knows an architecture by name.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from editlog.errors import UsageError
from lifelong.models.placement import AUTO, is_map, read_map

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUANTISED_BY = {"bitsandbytes": "bitsandbytes"}
"""Quantised weights that can be edited: the method by its name in config.json, and the library it needs."""

PICKLED = {".bin", ".pt", ".pth", ".ckpt"}


def load(
    path: str, *, device: str, dtype: str, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a decoder and its tokenizer onto a device, or as a device map says (see `Base.load`).

    Raises UsageError where it cannot be had, with the reason.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # without a network it tells of each retry
    logging.disable_progress_bar()
    check_device(device)
    _check_folder(Path(path))
    # False, not the default: unsaid, transformers asks on the terminal whether to run the folder's code.
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    quantised = check_config(config)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    placed: dict[str, Any] = {}
    if quantised or device == AUTO or is_map(device):
        # Weights that a map puts on disk are read from the model's own files, but for those stored in another shape.
        spill = tempfile.TemporaryDirectory(prefix="lifelong-offload-")
        placed = {"device_map": _device_map(device), "offload_folder": spill.name}
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
    if placed:
        loaded._lifelong_spill = spill  # lives as long as the model does
    return (loaded if placed else loaded.to(device)), tokenizer


def _device_map(device: str) -> str | dict[str, Any]:
    if device == AUTO:
        return AUTO
    return read_map(device) if is_map(device) else {"": device}


def check_device(device: str) -> None:
    """Raise UsageError where this machine or this torch has no such device."""
    if is_map(device) or device == AUTO:
        if importlib.util.find_spec("accelerate") is None:
            raise UsageError(f"device {device} is placed by accelerate; install it with `pip install accelerate`")
        places = set(read_map(device).values()) if is_map(device) else set()
        for place in places - {"disk"}:
            check_device(f"cuda:{place}" if isinstance(place, int) else place)
        return
    kind, _, number = device.partition(":")
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
    """Refuse what is no folder of a model, and one whose files name paths to be followed; raises ValueError."""
    if folder.is_file():
        raise ValueError("it is a file; name a folder as save_pretrained writes it, or a hub id")
    if not folder.is_dir():
        return  # a hub id
    if (folder / "adapter_config.json").exists():
        raise ValueError("it is an adapter, not a model; name the model that it was trained on")
    if not (folder / "config.json").exists():
        raise ValueError("there is no config.json in it; name a folder as save_pretrained writes it, or a hub id")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        raise ValueError(
            f"its weights are pickled ({pickled[0]}), and reading a pickle may run code; save it again with"
            " save_pretrained, which writes safetensors"
            if pickled
            else "there are no weights (*.safetensors) in it"
        )
    for index in folder.glob("*.index.json"):
        for name in set(json.loads(index.read_bytes())["weight_map"].values()):
            if Path(name).name != name:
                raise ValueError(f"{index.name} leads outside of its folder, to {name}")
