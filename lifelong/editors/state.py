"""State: what an editor must remember between waves, and between jobs, to go on or to forget.

A blob of named tensors and plain data in one safetensors file, named by the SHA-256 of its bytes. An editor returns
a new state with each edit and never changes one; the log names the state that is in force (`state.kept`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from editlog.canonical import canonical_json
from editlog.errors import IntegrityError
from lifelong.files import make_directory, write_atomically
from lifelong.layout import STATES

__all__ = ["MAX_STATE_BYTES", "STATES", "State", "read_state", "state_path", "states_of", "write_state"]

MAX_STATE_BYTES = 8 << 30
_META = "lifelong-state/1"
_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class State:
    """Tensors by name, the digests of the facts they stem from, and whatever else is plain JSON data."""

    tensors: Mapping[str, Tensor]
    facts: tuple[str, ...] = ()
    meta: Mapping[str, Any] | None = None

    @cached_property
    def content(self) -> bytes:
        """The file."""
        meta = canonical_json({"facts": list(self.facts), "meta": dict(self.meta or {})}).decode()
        return save_tensors({name: tensor.contiguous().cpu() for name, tensor in self.tensors.items()}, {_META: meta})

    @property
    def name(self) -> str:
        """64 hex digits: the SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


def state_path(directory: Path, name: str) -> Path:
    """Where the state of that name lies; raises IntegrityError for anything that is not a state's name."""
    if not _NAME.fullmatch(name):
        raise IntegrityError(f"{name[:80]!r} is not the name of a state (64 hex digits)")
    return directory / f"{name}.safetensors"


def write_state(directory: Path, state: State) -> str:
    """Write a state into `directory`, whole or not at all; returns its name."""
    make_directory(directory)
    path = state_path(directory, state.name)
    if not path.exists():
        write_atomically(path, state.content, point="state")
    return state.name


def read_state(directory: Path, name: str) -> State:
    """Open a state and check it against its name; raises IntegrityError, naming the file, for anything that is off."""
    path = state_path(directory, name)
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise ValueError(f"it is larger than {MAX_STATE_BYTES} bytes")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != name:
            raise ValueError("its bytes do not match its name")
        held = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"][_META])
        return State(load_tensors(content), tuple(held["facts"]), held["meta"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = ascii(str(error))[1:201]
        raise IntegrityError(f"the state {path} cannot be used ({reason}); restore it from a backup") from error


def states_of(directory: Path, digests: Collection[str]) -> list[Path]:
    """The files of all states that stem from one of these facts; they are neither checked nor read whole."""
    found = []
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_STATE_BYTES))
        if any(digest.encode() in header for digest in digests):
            found.append(path)
    return found
