"""The kinds of delta an expert can hold at a site: low-rank, dense, value, note.

A delta is a few named tensors, its parts. One class describes both the delta of one expert and, with a first
dimension of slots, the stack of many; what a kind does to a forward pass is its operator's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

FLOATS = {torch.float32, torch.float16, torch.bfloat16}
LARGEST_INT8 = 127
LARGEST_INT4 = 7
_INT4_ZERO = 8
"""What stands for zero in half a byte: -7 to 7 are kept as 1 to 15."""


@dataclass(frozen=True, eq=False)
class Delta:
    """What one expert has at one site, or, stacked, what many have there."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors by name, in a fixed order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def stacked(cls, deltas: Sequence[Self]) -> Self:
        """Equally shaped deltas in one stack, [slots, ...]."""
        parts = [delta.parts for delta in deltas]
        return cls(**{name: torch.stack([part[name] for part in parts]).contiguous() for name in parts[0]})

    def at(self, slot: int) -> Self:
        """The delta of one slot of a stack."""
        return type(self)(**{name: part[slot] for name, part in self.parts.items()})

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts.values())

    def widths(self) -> tuple[int | None, int]:
        """What a stack reads and writes at its site: (in_features or None where it does not read, out_features)."""
        raise NotImplementedError

    def has_shapes(self, slots: int) -> bool:
        """Whether the parts of a stack have the shapes of their kind, for `slots` slots."""
        raise NotImplementedError

    def has_dtypes(self) -> bool:
        """Whether the parts have dtypes of their kind."""
        dtypes = {part.dtype for part in self.parts.values()}
        return len(dtypes) == 1 and dtypes <= FLOATS

    def has_values(self) -> bool:
        """Whether every number of the parts can be one of a delta of the kind."""
        return all(bool(torch.isfinite(part).all()) for part in self.parts.values())


@dataclass(frozen=True, eq=False)
class LowRank(Delta):
    """`y + B @ A @ x`: A is [rank, in_features], B is [out_features, rank]."""

    a: Tensor
    b: Tensor

    @property
    def rank(self) -> int:
        """The number of rows of A, of one delta or of each in a stack."""
        return self.a.shape[-2]

    def floats(self) -> LowRank:
        """The same in floating point."""
        return self

    def idle(self, slots: int) -> Self:
        """A stack for the same site of `slots` deltas of rank one that change nothing."""
        width_in, width_out = self.a.shape[-1], self.b.shape[-2]
        a, b = torch.zeros(slots, 1, width_in), torch.zeros(slots, width_out, 1)
        return type(self)(a.to(self.a.dtype), b.to(self.b.dtype))

    def widths(self) -> tuple[int | None, int]:  # noqa: D102
        return self.a.shape[2], self.b.shape[1]

    def has_shapes(self, slots: int) -> bool:  # noqa: D102
        a, b = self.a, self.b
        return a.ndim == b.ndim == 3 and a.shape[0] == b.shape[0] == slots and a.shape[1] == b.shape[2]


@dataclass(frozen=True, eq=False)
class LowRankInt8(LowRank):
    """The same with A and B in int8; rank r counts `scale[r]` times, float32 [rank] (`quantising.stored_as`)."""

    scale: Tensor

    def floats(self) -> LowRank:
        """The same as float32, each rank's scale shared by its two sides."""
        half = self.scale.sqrt()
        return LowRank(self.a.float() * half[..., :, None], self.b.float() * half[..., None, :])

    def idle(self, slots: int) -> Self:  # noqa: D102
        one = LowRank(self.a, self.b).idle(slots)
        return type(self)(one.a, one.b, torch.zeros(slots, 1))

    def has_shapes(self, slots: int) -> bool:  # noqa: D102
        return super().has_shapes(slots) and self.scale.shape == self.a.shape[:2]

    def has_dtypes(self) -> bool:  # noqa: D102
        return self.a.dtype == self.b.dtype == torch.int8 and self.scale.dtype == torch.float32

    def has_values(self) -> bool:  # noqa: D102
        whole = min(int(self.a.min()), int(self.b.min())) >= -LARGEST_INT8
        return whole and bool((torch.isfinite(self.scale) & (self.scale >= 0)).all())


@dataclass(frozen=True, eq=False)
class LowRankInt4(LowRankInt8):
    """The same with B in four bits, -7 to 7: uint8 [out_features / 2, rank], two rows of B in a row of bytes."""

    @classmethod
    def of(cls, whole: LowRankInt8) -> Self:
        """The same numbers, those of B being from -7 to 7 and of an even number of rows."""
        low, high = (whole.b[..., first::2, :].int() + _INT4_ZERO for first in (0, 1))
        return cls(whole.a, (low | high << 4).to(torch.uint8).contiguous(), whole.scale)

    def whole(self) -> LowRankInt8:
        """The same numbers, a byte each."""
        rows = torch.stack([self.b & 15, self.b >> 4], dim=-2).flatten(-3, -2)
        return LowRankInt8(self.a, rows.to(torch.int8) - _INT4_ZERO, self.scale)

    def floats(self) -> LowRank:  # noqa: D102
        return self.whole().floats()

    def idle(self, slots: int) -> Self:  # noqa: D102
        return self.of(self.whole().idle(slots))

    def widths(self) -> tuple[int | None, int]:  # noqa: D102
        return self.a.shape[2], 2 * self.b.shape[1]

    def has_dtypes(self) -> bool:  # noqa: D102
        return self.a.dtype == torch.int8 and self.b.dtype == torch.uint8 and self.scale.dtype == torch.float32

    def has_values(self) -> bool:  # noqa: D102
        return int(self.whole().b.min()) >= -LARGEST_INT4 and self.whole().has_values()


@dataclass(frozen=True, eq=False)
class Dense(Delta):
    """`y + W @ x`: W is [out_features, in_features]."""

    w: Tensor

    def widths(self) -> tuple[int | None, int]:  # noqa: D102
        return self.w.shape[2], self.w.shape[1]

    def has_shapes(self, slots: int) -> bool:  # noqa: D102
        return self.w.ndim == 3 and self.w.shape[0] == slots


@dataclass(frozen=True, eq=False)
class Value(Delta):
    """What the site puts out at the last position of the prompt, instead of its own: V is [out_features]."""

    v: Tensor

    def widths(self) -> tuple[int | None, int]:  # noqa: D102
        return None, self.v.shape[1]

    def has_shapes(self, slots: int) -> bool:  # noqa: D102
        return self.v.ndim == 2 and self.v.shape[0] == slots


@dataclass(frozen=True, eq=False)
class Note(Delta):
    """A text that is read before the prompt: its UTF-8 bytes, uint8 [length], zeros behind it where padded."""

    utf8: Tensor

    @classmethod
    def of(cls, text: str) -> Self:
        """The note that says `text`, which must hold no NUL and not be empty."""
        return cls(torch.tensor(list(text.encode()), dtype=torch.uint8))

    @property
    def text(self) -> str:
        """What the note says; raises ValueError where its bytes are no UTF-8."""
        return bytes(self.utf8.tolist()).rstrip(b"\0").decode()

    @classmethod
    def stacked(cls, deltas: Sequence[Self]) -> Self:
        """Notes of any length in one stack, padded to the longest."""
        longest = max(len(note.utf8) for note in deltas)
        return cls(torch.stack([pad(note.utf8, (0, longest - len(note.utf8))) for note in deltas]))

    def at(self, slot: int) -> Self:
        """The note of one slot, without its padding."""
        return self.of(type(self)(self.utf8[slot]).text)

    def widths(self) -> tuple[int | None, int]:  # noqa: D102
        return None, self.utf8.shape[1]

    def has_shapes(self, slots: int) -> bool:  # noqa: D102
        return self.utf8.ndim == 2 and self.utf8.shape[0] == slots

    def has_dtypes(self) -> bool:  # noqa: D102
        return self.utf8.dtype == torch.uint8

    def has_values(self) -> bool:
        """Whether each of the notes is a text."""
        return all(self.at(slot).utf8.numel() for slot in range(len(self.utf8)))


KINDS: dict[str, type[Delta]] = {
    "lowrank": LowRank,
    "lowrank-int8": LowRankInt8,
    "lowrank-int4": LowRankInt4,
    "dense": Dense,
    "value": Value,
    "note": Note,
}
NOTE_SITE = "note"
"""Where a note stands among an expert's sites: it belongs to no module."""


def kind_named(name: str) -> type[Delta]:
    """The class of a kind's deltas; raises ValueError for an unknown kind."""
    if name not in KINDS:
        raise ValueError(f"it holds an expert of an unknown kind, {ascii(name)[:80]}")
    return KINDS[name]


def kind_of(delta: Delta) -> str:
    """The name of a delta's kind."""
    return next(name for name, kind in KINDS.items() if type(delta) is kind)
