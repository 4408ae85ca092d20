"""An expert: an immutable, hashed delta with the facts it carries.

The hash covers tensors, sites, recipe, base fingerprint and fact identities, and nothing of workspace, job,
time or salt: equal facts trained alike on the same base are the same expert wherever they were trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from editlog.canonical import canonical_json, sha256, tag
from lifelong.experts.kinds import Delta, LowRank

__all__ = ["ALWAYS", "Expert", "LowRank", "tensor_bytes"]

_DOMAIN = b"lifelong/expert/v1\x00"

ALWAYS = torch.zeros(0, 0)
"""The anchors of an expert that acts on every prompt."""


@dataclass(frozen=True, eq=False)
class Expert:
    """A delta for some sites (by module path), trained on `facts` (their digests, sorted), all of one `kind`.

    `anchors` say how a prompt comes to it: None, through the gate; `ALWAYS`, without being asked; else one vector
    a fact, float32 [facts, width] in the order of `facts`, which a router of the recipe compares with the prompt.
    """

    facts: tuple[str, ...]
    tensors: Mapping[str, Delta]
    recipe: str
    base: str
    kind: str = "lowrank"
    anchors: Tensor | None = None

    @cached_property
    def hash(self) -> str:
        """Tagged SHA-256 over the meta data and the bytes of every tensor in the order of site names."""
        sites = sorted(self.tensors)
        parts = {site: list(self.tensors[site].parts.values()) for site in sites}
        meta: dict[str, Any] = {
            "kind": self.kind,
            "facts": sorted(self.facts),
            "recipe": self.recipe,
            "base": self.base,
            "sites": [
                [site, str(parts[site][0].dtype), *(size for part in parts[site] for size in part.shape)]
                for site in sites
            ],
        }
        tensors = [part for site in sites for part in parts[site]]
        if self.anchors is not None:
            meta["anchors"] = list(self.anchors.shape)
            tensors.append(self.anchors)
        return tag(sha256(_DOMAIN, canonical_json(meta), *map(tensor_bytes, tensors)))

    @property
    def shape(self) -> tuple[object, ...]:
        """What experts must have in common to stand in one pack."""
        parts = [
            (site, *((tuple(part.shape), part.dtype) for part in delta.parts.values() if self.kind != "note"))
            for site, delta in sorted(self.tensors.items())
        ]
        width = None if self.anchors is None else self.anchors.shape[1]
        return (self.base, self.recipe, self.kind, width, *parts)


def tensor_bytes(tensor: Tensor) -> bytes:
    """The tensor's elements, row by row, in little-endian memory order."""
    return tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes()
