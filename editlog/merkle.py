"""The Merkle tree of RFC 6962 over the events of a log: one hash for all of them, and short proofs of one.

The leaf of event n is over its canonical JSON, as docs/FORMAT.md says; leaves and nodes begin with different
bytes, so that neither can pass for the other. Hashes are 32 raw bytes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from editlog.canonical import sha256

_LEAF = b"\x00"
_NODE = b"\x01"


def leaf(event: bytes) -> bytes:
    """The leaf hash of an event's canonical JSON."""
    return sha256(_LEAF, event)


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(_NODE, left, right)


@dataclass
class Edge:
    """The right edge of a growing tree: `size` leaves, and the roots of its whole subtrees, the largest first.

    Enough to add leaves and to tell the root, in memory that grows with the logarithm of the leaves.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, hashed: bytes) -> None:
        """Add one leaf hash."""
        self.peaks.append(hashed)
        self.size += 1
        for _ in range(trailing_zeros(self.size)):
            right = self.peaks.pop()
            self.peaks.append(node(self.peaks.pop(), right))

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self.peaks:
            return sha256()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node(peak, root)
        return root


def trailing_zeros(number: int) -> int:
    """How often a positive number can be halved."""
    return (number & -number).bit_length() - 1


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, from its sibling up to the root's child (RFC 6962, 2.1.1)."""
    path: list[bytes] = []
    level, place = list(leaves), index
    while len(level) > 1:
        sibling = place ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]  # a last one without a partner goes up as it is
        place //= 2
    return path


def root_of(hashed: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf, its place and its path give (RFC 9162, 2.1.3.2); ValueError where they cannot fit."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    place, last, root = index, size - 1, hashed
    for sibling in path:
        if last == 0:
            raise ValueError("the path is too long")
        if place & 1 or place == last:
            root = node(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node(root, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return root
