"""A progress that remembers what it was told."""

from __future__ import annotations


class Watcher:
    """Each stage as [name, steps foreseen, steps counted], and ["done"] at the end."""

    def __init__(self) -> None:
        self.told: list[list[object]] = []
        self._counted = 0

    def stage(self, name: str, total: int) -> None:
        """A new stage."""
        self._counted = 0
        self.told.append([name, total, 0])

    def advance(self, n: int = 1) -> None:
        """Steps of the last stage."""
        self._counted += n
        self.told[-1][2] = self._counted

    def done(self) -> None:
        """No more stages."""
        self.told.append(["done"])
