"""Results kept by name in a folder, so that a bench that was killed carries on behind the last finished one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from editlog.errors import UsageError
from lifelong.files import write_atomically


class Kept:
    """A folder of JSON files, each written whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def within(self, name: str) -> Kept:
        """The folder of that name in this one."""
        return Kept(self.directory / name)

    def json(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for this name, as plain JSON data."""
        path = self.directory / f"{name}.json"
        if not path.exists():
            write_atomically(path, json.dumps(make(), ensure_ascii=False).encode() + b"\n")
        return json.loads(path.read_bytes())

    def lines(self, name: str, make: Callable[[], Iterable[Any]]) -> list[Any]:
        """The same for a list, kept as JSON lines."""
        path = self.directory / f"{name}.jsonl"
        if not path.exists():
            write_atomically(path, b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in make()))
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

    def claim(self, spec: dict[str, Any]) -> None:
        """Say what this folder is for; raises UsageError where it already is for something else."""
        kept = self.json("bench", lambda: spec)
        changed = sorted(name for name in spec.keys() | kept.keys() if spec.get(name) != kept.get(name))
        if changed:
            raise UsageError(
                f"{self.directory} holds a bench with another {' and '.join(changed)}; ask for the same again to carry"
                " it on, or give another --out"
            )
