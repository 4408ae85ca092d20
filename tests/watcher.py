"""A progress that remembers what it was told."""

from __future__ import annotations

from typing import Any


class Watcher:
    """Each stage as [name, steps foreseen, steps counted], and ["done"] at the end."""

    def __init__(self) -> None:
        self.told: list[list[Any]] = []

    def stage(self, name: str, total: int) -> None:
        """A new stage."""
        self.told.append([name, total, 0])

    def advance(self, n: int = 1) -> None:
        """Steps of the last stage."""
        self.told[-1][2] += n

    def done(self) -> None:
        """No more stages."""
        self.told.append(["done"])
