"""The slot table of a pack: which expert stands in which slot, and what all of them were trained with.

It comes from a file, so nothing in it is believed before its form is checked: canonical JSON, these keys and no
others, hashes that are hashes, no expert twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from editlog.canonical import canonical_json, untag
from lifelong.experts.kinds import kind_named

FORMAT = "lifelong-pack/1"
TABLE = "lifelong"
_KEYS = {"format", "base", "recipe", "slots"}
_SLOT_KEYS = {"hash", "facts", "kind"}


@dataclass(frozen=True)
class SlotTable:
    """Base fingerprint, recipe digest and kind of all experts of a pack; for each slot its expert's hash and facts."""

    base: str
    recipe: str
    hashes: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]
    kind: str = "lowrank"

    def encode(self) -> str:
        """The table as a pack holds it."""
        slots = [
            {"hash": hashed, "facts": list(facts), "kind": self.kind}
            for hashed, facts in zip(self.hashes, self.facts, strict=True)
        ]
        table = {"format": FORMAT, "base": self.base, "recipe": self.recipe, "slots": slots}
        return canonical_json(table).decode()


def read_table(content: bytes) -> SlotTable:
    """The table in the header of a safetensors file, given whole; raises ValueError or KeyError where it has none."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    metadata = json.loads(header, object_pairs_hook=_once)["__metadata__"]
    if metadata.keys() != {TABLE}:
        raise ValueError("its metadata is not a slot table alone")
    table = json.loads(metadata[TABLE], object_pairs_hook=_once)
    _check_keys(table, _KEYS, "the slot table")
    if table["format"] != FORMAT:
        raise ValueError(f"its format is {_shown(table['format'])}")
    for name in ("base", "recipe"):
        _check_text(table[name], name)
    if not isinstance(table["slots"], list) or not table["slots"]:
        raise ValueError("it has no list of slots")
    for slot in table["slots"]:
        _check_slot(slot)
    hashes = tuple(slot["hash"] for slot in table["slots"])
    if len(set(hashes)) < len(hashes):
        raise ValueError("an expert stands in two slots")
    kinds = {slot["kind"] for slot in table["slots"]}
    if len(kinds) > 1:
        raise ValueError(f"it holds experts of several kinds, {', '.join(sorted(kinds))}")
    facts = tuple(tuple(slot["facts"]) for slot in table["slots"])
    found = SlotTable(table["base"], table["recipe"], hashes, facts, kinds.pop())
    if found.encode() != metadata[TABLE]:
        raise ValueError("its slot table is not canonical JSON")
    return found


def _check_slot(slot: Any) -> None:
    _check_keys(slot, _SLOT_KEYS, "a slot")
    _check_text(slot["kind"], "kind")
    kind_named(slot["kind"])
    _check_text(slot["hash"], "hash")
    untag(slot["hash"])
    if not isinstance(slot["facts"], list) or not slot["facts"]:
        raise ValueError("a slot names no facts")
    for fact in slot["facts"]:
        _check_text(fact, "fact")


def _check_keys(value: Any, keys: set[str], what: str) -> None:
    if not isinstance(value, dict) or value.keys() != keys:
        raise ValueError(f"{what} is not an object of {', '.join(sorted(keys))}")


def _check_text(value: Any, what: str) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"its {what} is {_shown(value)}, which is not a text")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice in its header")
    return value


def _shown(value: Any) -> str:
    """What a file holds, short and without control characters, for a message."""
    return ascii(value)[:80]
