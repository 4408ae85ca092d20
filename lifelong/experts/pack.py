"""A pack: one safetensors file holding many experts in slots, with a hash each and a slot table.

The file is named by the SHA-256 of its own bytes, so it can be checked before anything in it is believed. The
slot table is canonical JSON under the only key of its metadata. Tensors are stacked by site, `<site>/a`
[experts, rank, in] and `<site>/b` [experts, out, rank], which is the form the bank serves them in; where they are int8,
`<site>/scale` (float32 [experts, rank]) stands beside them, and where B is in four bits, two of its rows are one.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from editlog import durable
from editlog.errors import IntegrityError
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import Delta, kind_named
from lifelong.experts.table import FORMAT, TABLE, SlotTable, read_table
from lifelong.files import write_atomically
from lifelong.layout import pack_path

MAX_PACK_BYTES = 8 << 30
ANCHORS = "anchors"
_SITE = re.compile(r"[\w-]+(\.[\w-]+)*")


@dataclass(frozen=True, eq=False)
class Pack:
    """An opened pack: its name, the stacked tensors by site, and what stands in each slot."""

    name: str
    stacks: dict[str, Delta]
    hashes: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]
    recipe: str
    base: str
    kind: str = "lowrank"
    anchors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.hashes)

    def expert(self, slot: int) -> Expert:
        """The expert of one slot."""
        tensors = {site: stack.at(slot) for site, stack in self.stacks.items()}
        return Expert(self.facts[slot], tensors, self.recipe, self.base, self.kind, self.anchors_of(slot))

    def anchors_of(self, slot: int) -> Tensor | None:
        """The anchors of the expert of one slot, float32 [its facts, width]; None where the gate routes to it."""
        if self.anchors is None or not len(self.anchors):
            return self.anchors
        first = sum(len(facts) for facts in self.facts[:slot])
        return self.anchors[first : first + len(self.facts[slot])]

    @property
    def bytes_per_expert(self) -> int:
        """Bytes of tensors of one slot."""
        return sum(stack.nbytes for stack in self.stacks.values()) // len(self)


def encode_pack(experts: Sequence[Expert]) -> tuple[str, bytes]:
    """Name and bytes of the pack of these experts; they must be alike in all of `Expert.shape`."""
    first = experts[0]
    tensors: dict[str, Tensor] = {}
    for site in sorted(first.tensors):
        stack = type(first.tensors[site]).stacked([expert.tensors[site] for expert in experts])
        tensors.update({f"{site}/{name}": part for name, part in stack.parts.items()})
    if first.anchors is not None:
        tensors[ANCHORS] = torch.cat([expert.anchors for expert in experts if expert.anchors is not None])
    hashes, facts = tuple(e.hash for e in experts), tuple(e.facts for e in experts)
    table = SlotTable(first.base, first.recipe, hashes, facts, first.kind)
    # One key only: safetensors writes several in an order of its own, and equal packs must have equal bytes.
    content = save_tensors(tensors, {TABLE: table.encode()})
    return hashlib.sha256(content).hexdigest(), content


def alike(experts: Iterable[Expert]) -> list[list[Expert]]:
    """The experts in parts that can each stand in one pack, in a stable order."""
    parts: dict[tuple[object, ...], list[Expert]] = {}
    for expert in experts:
        parts.setdefault(expert.shape, []).append(expert)
    return list(parts.values())


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
    anchors = tensors.pop(ANCHORS, None)
    by_site: dict[str, dict[str, Tensor]] = {}
    for key, tensor in sorted(tensors.items()):
        site, _, part = key.rpartition("/")
        by_site.setdefault(site, {})[part] = tensor
    if not by_site:
        raise ValueError("it has no tensors")
    stacks = {site: _stack(site, parts, table.kind) for site, parts in by_site.items()}
    for site, stack in stacks.items():
        _check_stack(site, stack, len(table.hashes))
    _check_anchors(anchors, sum(map(len, table.facts)))
    return Pack(name, stacks, table.hashes, table.facts, table.recipe, table.base, table.kind, anchors)


def has_slot_of(path: Path, digests: Collection[str]) -> bool:
    """Whether the slot table of a pack names one of these facts; its tensors are not read, nor is it checked."""
    with path.open("rb") as file:
        header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_PACK_BYTES))
    return any(digest.encode() in header for digest in digests)


def _stack(site: str, parts: dict[str, Tensor], kind: str) -> Delta:
    delta = kind_named(kind)
    if not _SITE.fullmatch(site):
        raise ValueError(f"{site[:80]!r} is not the path of a module")
    if parts.keys() != {field.name for field in fields(delta)}:
        raise ValueError(f"site {site} has the tensors {', '.join(sorted(parts))[:80]}, not those of a {kind} expert")
    return delta(**parts)


def _check_stack(site: str, stack: Delta, slots: int) -> None:
    parts = stack.parts.values()
    if not stack.has_shapes(slots):
        raise ValueError(f"site {site} has shapes {' and '.join(str(tuple(p.shape)) for p in parts)} for {slots} slots")
    if not all(part.numel() for part in parts):
        raise ValueError(f"site {site} has experts without a number in them")
    if not stack.has_dtypes():
        raise ValueError(f"site {site} has dtypes {' and '.join(str(part.dtype) for part in parts)}")
    if not stack.has_values():
        raise ValueError(f"site {site} holds values that are not finite or cannot be")


def _check_anchors(anchors: Tensor | None, facts: int) -> None:
    if anchors is None:
        return
    if anchors.ndim != 2 or len(anchors) not in (0, facts) or anchors.dtype != torch.float32:
        raise ValueError(f"its anchors are {anchors.dtype} of shape {tuple(anchors.shape)} for {facts} facts")
    if not torch.isfinite(anchors).all():
        raise ValueError("its anchors hold values that are not finite")
