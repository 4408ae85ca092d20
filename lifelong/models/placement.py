"""Where a model's modules lie and compute: on one device, or, by an accelerate device map, on several and on disk.

accelerate moves a module's inputs to where the module computes, and, of one whose weights are kept elsewhere (`cpu`
beside a GPU, `disk`), fetches them for the time of its pass. What lifelong puts beside a module (an expert's factors,
stored activations) must lie where the module computes: that is `device_of`. Between their passes such weights are not
in the model at all, so whoever reads one asks `weight_of`.

Everything here is read off the hooks that accelerate leaves on modules; a model without any lies on one device.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from editlog.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO = "auto"
"""The device that leaves it to accelerate: one that holds the model, or all there are, then memory, then disk."""

MAP_SUFFIX = ".json"
"""How a device ends that is a file: a device map, `{module path: device}`, as accelerate takes it."""

MAX_MAP_BYTES = 1 << 20
MODULE_PATH = re.compile(r"[A-Za-z0-9_.]*")


def is_map(device: str) -> bool:
    """Whether a device is the file of a map."""
    return device.endswith(MAP_SUFFIX)


def read_map(path: str) -> dict[str, str | int]:
    """A device map from its file; raises UsageError where it cannot be read, or does not map names to devices."""
    try:
        with Path(path).open("rb") as file:
            found: Any = json.loads(file.read(MAX_MAP_BYTES))
    except OSError as error:
        raise UsageError(f"the device map {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the device map {path} is not JSON: {ascii(str(error))[1:101]}") from error
    whole = isinstance(found, dict) and all(type(where) in {str, int} for where in found.values())
    if not whole or not found or not all(MODULE_PATH.fullmatch(path) for path in found):
        raise UsageError(
            f'the device map {path} must be an object such as {{"model.layers.0": 0, "lm_head": "cpu"}}: paths of'
            " modules, each with a device, the number of a GPU, or disk"
        )
    return dict(found)


def device_of(model: PreTrainedModel, path: str) -> torch.device:
    """Where the module at a path computes ("": where the model takes its inputs and leaves its outputs)."""
    names = path.split(".") if path else []
    for depth in range(len(names), -1, -1):
        for hook in _hooks(model.get_submodule(".".join(names[:depth]))):
            if hook.execution_device is not None:
                return torch.device(hook.execution_device)
    device: torch.device = model.device
    return device


def devices(model: PreTrainedModel) -> list[str]:
    """All places its weights are kept at, as the device map names them; one for most models."""
    placed = getattr(model, "hf_device_map", None) or {"": model.device}
    return sorted({str(torch.device(where) if isinstance(where, int) else where) for where in placed.values()})


def weight_names(model: PreTrainedModel) -> list[str]:
    """Every parameter's name, in the model's order, wherever it is kept; of those that share one, the first."""
    shared = _shared(model)
    return [name for name, _ in model.named_parameters() if name not in shared]


def weight_of(model: PreTrainedModel, name: str) -> Tensor:
    """One parameter, fetched from where it is kept."""
    path, _, own = name.rpartition(".")
    module: nn.Module = model.get_submodule(path)
    parameter = module.get_parameter(own)
    if not parameter.is_meta:
        return parameter
    fetched: Tensor = next(hook.weights_map[own] for hook in _hooks(module) if hook.offload)
    return fetched.to(parameter.dtype)


def _hooks(module: nn.Module) -> list[Any]:
    """What accelerate has on a module: nothing, one hook, or several in a row."""
    hook = getattr(module, "_hf_hook", None)
    found = [] if hook is None else getattr(hook, "hooks", [hook])
    return [one for one in found if hasattr(one, "execution_device")]


def _shared(model: PreTrainedModel) -> set[str]:
    """Parameters that are another one's, by name. Kept elsewhere, tied parameters are no longer one object."""
    if len(devices(model)) == 1:
        return set()  # named_parameters passes them over by itself
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    return set(tied)
