"""Sites: the linear layers of a decoder that an expert can be attached to, found by shape and role.

Roles are told by where a module stands in its layer and by which of its two widths is the model's hidden
size, never by the name of an architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from editlog.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION_WORDS = ("attn", "attention")


@dataclass(frozen=True)
class Site:
    """One linear module: its path in the model, its layer, its role and its two widths."""

    path: str
    layer: int
    role: str
    in_features: int
    out_features: int


def decoder_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path and list of the decoder's layers: the module list as long as the config says there are layers.

    Raises UsageError where no such list is found.
    """
    count = model.config.get_text_config().num_hidden_layers
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return path, module
    raise UsageError(f"{type(model).__name__} has no list of {count} decoder layers, so no expert can be attached")


def find_sites(model: PreTrainedModel, layers: Sequence[int], roles: Sequence[str]) -> list[Site]:
    """The sites of the wanted roles in the wanted layers (negative: from the last), in model order.

    Raises UsageError for a layer that does not exist or a role that a wanted layer lacks.
    """
    sites: list[Site] = []
    for layer, found in _by_layer(model, layers).items():
        for role in roles:
            of_role = [site for site in found if site.role == role]
            if not of_role:
                known = ", ".join(sorted({site.role for site in found})) or "none"
                raise UsageError(f"layer {layer} of {type(model).__name__} has no {role} module (it has: {known})")
            sites.extend(of_role)
    return sites


def all_sites(model: PreTrainedModel, layers: Sequence[int]) -> list[Site]:
    """Every site of the wanted layers, in model order; raises UsageError for a layer that does not exist."""
    return [site for found in _by_layer(model, layers).values() for site in found]


def _by_layer(model: PreTrainedModel, layers: Sequence[int]) -> dict[int, list[Site]]:
    prefix, stack = decoder_layers(model)
    hidden = model.config.get_text_config().hidden_size
    wanted = sorted({_absolute(layer, len(stack)) for layer in layers})
    return {layer: list(_sites_of_layer(f"{prefix}.{layer}", stack[layer], layer, hidden)) for layer in wanted}


def _absolute(layer: int, count: int) -> int:
    if not -count <= layer < count:
        raise UsageError(f"there is no layer {layer}: the model has {count}, from 0 to {count - 1} or -1 to -{count}")
    return layer % count


def _sites_of_layer(prefix: str, layer: nn.Module, index: int, hidden: int) -> Iterator[Site]:
    for path, module in layer.named_modules():
        widths = linear_widths(module)
        if widths is None:
            continue
        role = _role(path, *widths, hidden)
        if role:
            yield Site(f"{prefix}.{path}", index, role, *widths)


def linear_widths(module: nn.Module) -> tuple[int, int] | None:
    """(in, out) of a linear module; None for any other. GPT-2's Conv1D is a linear with its weight transposed."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D" and hasattr(module, "nx") and hasattr(module, "nf"):
        return int(str(module.nx)), int(str(module.nf))
    return None


def _role(path: str, width_in: int, width_out: int, hidden: int) -> str | None:
    in_attention = any(word in part for part in path.lower().split(".") for word in ATTENTION_WORDS)
    last = path.rsplit(".", 1)[-1]
    if in_attention:
        projects_out = last.startswith(("o_", "out", "dense", "wo")) or path.endswith("c_proj")
        return "attn.out" if width_out == hidden and projects_out else None
    if width_out == hidden and width_in != hidden:
        return "mlp.down"
    if width_in == hidden and width_out != hidden:
        return "mlp.up"
    return None
