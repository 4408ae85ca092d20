"""A pack: one safetensors file holding many experts in slots, with a hash each and a slot table.

The file is named by the SHA-256 of its own bytes, so it can be checked before anything in it is believed. The
slot table is canonical JSON under the only key of its metadata. Tensors are stacked by site, `<site>/a`
[experts, rank, in] and `<site>/b` [experts, out, rank], which is the form the bank serves them in.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from editlog import durable
from editlog.errors import IntegrityError
from lifelong.experts.expert import Expert, LowRank
from lifelong.experts.table import FORMAT, TABLE, SlotTable, read_table
from lifelong.files import write_atomically
from lifelong.layout import pack_path

MAX_PACK_BYTES = 8 << 30
_ALLOWED_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_SITE = re.compile(r"[\w-]+(\.[\w-]+)*")


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
    table = SlotTable(first.base, first.recipe, tuple(e.hash for e in experts), tuple(e.facts for e in experts))
    # One key only: safetensors writes several in an order of its own, and equal packs must have equal bytes.
    content = save_tensors(tensors, {TABLE: table.encode()})
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
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device may never end
            raise IntegrityError(f"the pack {path} is not a file; restore it from a backup of experts/")
        if found.st_size > MAX_PACK_BYTES:
            raise IntegrityError(f"the pack {path} is larger than {MAX_PACK_BYTES} bytes; restore it from a backup")
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
        reason = ascii(str(error))[1:201]  # what a foreign file says must not reach a terminal as it is
        raise IntegrityError(f"the pack {path} is not a {FORMAT} file ({reason}); restore it from a backup") from error


def decode_pack(name: str, content: bytes) -> Pack:
    """Read a pack from its bytes.

    Raises ValueError, KeyError, TypeError, RecursionError or SafetensorError where they do not fit.
    """
    tensors = load_tensors(content)
    table = read_table(content)
    sites = sorted({key.rsplit("/", 1)[0] for key in tensors})
    if not sites or tensors.keys() != {f"{site}/{factor}" for site in sites for factor in "ab"}:
        raise ValueError("its tensors are not an a and a b for each site")
    stacks = {site: LowRank(tensors[f"{site}/a"], tensors[f"{site}/b"]) for site in sites}
    for site, stack in stacks.items():
        _check_stack(site, stack, len(table.hashes))
    return Pack(name, stacks, table.hashes, table.facts, table.recipe, table.base)


def has_slot_of(path: Path, digests: Collection[str]) -> bool:
    """Whether the slot table of a pack names one of these facts; its tensors are not read, nor is it checked."""
    with path.open("rb") as file:
        header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_PACK_BYTES))
    return any(digest.encode() in header for digest in digests)


def _check_stack(site: str, stack: LowRank, slots: int) -> None:
    a, b = stack.a, stack.b
    if not _SITE.fullmatch(site):
        raise ValueError(f"{site[:80]!r} is not the path of a module")
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != slots or b.shape[0] != slots or a.shape[1] != b.shape[2]:
        raise ValueError(f"site {site} has shapes {tuple(a.shape)} and {tuple(b.shape)} for {slots} slots")
    if not (a.numel() and b.numel()):
        raise ValueError(f"site {site} has experts without a number in them")
    if a.dtype not in _ALLOWED_DTYPES or b.dtype != a.dtype:
        raise ValueError(f"site {site} has dtypes {a.dtype} and {b.dtype}")
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError(f"site {site} holds values that are not finite")
