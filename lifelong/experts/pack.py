"""A pack: one safetensors file holding many experts in slots, with a hash each and a slot table.

The file is named by the SHA-256 of its own bytes, so it can be checked before anything in it is believed. The
slot table is canonical JSON under the only key of its metadata. Tensors are stacked by site, `<site>/a`
[experts, rank, in] and `<site>/b` [experts, out, rank], which is the form the bank serves them in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from editlog import durable
from editlog.canonical import canonical_json
from editlog.errors import IntegrityError
from lifelong.experts.expert import Expert, LowRank
from lifelong.files import write_atomically
from lifelong.layout import pack_path

FORMAT = "lifelong-pack/1"
TABLE = "lifelong"
MAX_PACK_BYTES = 8 << 30
_ALLOWED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Pack:
    """An opened pack: its name, the stacked tensors by site, and what stands in each slot."""

    name: str
    stacks: dict[str, LowRank]
    hashes: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]
    recipe: str
    base: str

    def __len__(self) -> int:
        return len(self.hashes)

    def expert(self, slot: int) -> Expert:
        """The expert of one slot."""
        tensors = {site: LowRank(stack.a[slot], stack.b[slot]) for site, stack in self.stacks.items()}
        return Expert(self.facts[slot], tensors, self.recipe, self.base)

    @property
    def bytes_per_expert(self) -> int:
        """Bytes of tensors of one slot."""
        return sum(t.a[0].nbytes + t.b[0].nbytes for t in self.stacks.values()) if len(self) else 0


def encode_pack(experts: Sequence[Expert]) -> tuple[str, bytes]:
    """Name and bytes of the pack of these experts; they must share base, recipe, sites, ranks and dtypes."""
    first = experts[0]
    tensors: dict[str, Tensor] = {}
    for site in sorted(first.tensors):
        tensors[f"{site}/a"] = torch.stack([e.tensors[site].a for e in experts]).contiguous()
        tensors[f"{site}/b"] = torch.stack([e.tensors[site].b for e in experts]).contiguous()
    table = {
        "format": FORMAT,
        "base": first.base,
        "recipe": first.recipe,
        "slots": [{"hash": e.hash, "facts": list(e.facts), "kind": e.kind} for e in experts],
    }
    # One key only: safetensors writes several in an order of its own, and equal packs must have equal bytes.
    content = save_tensors(tensors, {TABLE: canonical_json(table).decode()})
    return hashlib.sha256(content).hexdigest(), content


def write_pack(directory: Path, experts: Sequence[Expert]) -> str:
    """Write a pack into `directory` (whole or not at all) and return its name."""
    name, content = encode_pack(experts)
    path = pack_path(directory, name)
    if path.exists() and path.read_bytes() == content:
        durable.sync_directory(directory, point="pack")  # whoever wrote it may have died before its name was durable
    else:
        write_atomically(path, content, point="pack")
    return name


def read_pack(directory: Path, name: str) -> Pack:
    """Open a pack and check it: bytes against its name, then table, shapes, dtypes and finite values.

    Raises IntegrityError, naming the file, for anything that does not fit.
    """
    path = pack_path(directory, name)
    try:
        if path.stat().st_size > MAX_PACK_BYTES:
            raise IntegrityError(f"the pack {path} is larger than {MAX_PACK_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"the pack {path} cannot be read ({error.strerror}); restore it from a backup of experts/"
        ) from error
    if hashlib.sha256(content).hexdigest() != name:
        raise IntegrityError(f"the pack {path} is damaged: its bytes do not match its name; restore it from a backup")
    try:
        return decode_pack(name, content)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise IntegrityError(f"the pack {path} is not a {FORMAT} file: {error}") from error


def decode_pack(name: str, content: bytes) -> Pack:
    """Read a pack from its bytes.

    Raises ValueError, KeyError, TypeError, RecursionError or SafetensorError where they do not fit.
    """
    tensors = load_tensors(content)
    header_length = int.from_bytes(content[:8], "little")
    table = json.loads(json.loads(content[8 : 8 + header_length])["__metadata__"][TABLE])
    if table["format"] != FORMAT:
        raise ValueError(f"its format is {table['format']!r}")
    sites = sorted({key.rsplit("/", 1)[0] for key in tensors})
    stacks = {site: LowRank(tensors[f"{site}/a"], tensors[f"{site}/b"]) for site in sites}
    slots = table["slots"]
    if foreign := {slot["kind"] for slot in slots} - {"lowrank"}:
        raise ValueError(f"it holds experts of an unknown kind ({', '.join(map(str, foreign))})")
    for site, stack in stacks.items():
        _check_stack(site, stack, len(slots))
    return Pack(
        name=name,
        stacks=stacks,
        hashes=tuple(slot["hash"] for slot in slots),
        facts=tuple(tuple(slot["facts"]) for slot in slots),
        recipe=table["recipe"],
        base=table["base"],
    )


def has_slot_of(path: Path, digests: Collection[str]) -> bool:
    """Whether the slot table of a pack names one of these facts; its tensors are not read, nor is it checked."""
    with path.open("rb") as file:
        header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_PACK_BYTES))
    return any(digest.encode() in header for digest in digests)


def _check_stack(site: str, stack: LowRank, slots: int) -> None:
    a, b = stack.a, stack.b
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != slots or b.shape[0] != slots or a.shape[1] != b.shape[2]:
        raise ValueError(f"site {site} has shapes {tuple(a.shape)} and {tuple(b.shape)} for {slots} slots")
    if a.dtype not in _ALLOWED_DTYPES or b.dtype not in _ALLOWED_DTYPES:
        raise ValueError(f"site {site} has dtype {a.dtype}")
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError(f"site {site} holds values that are not finite")
