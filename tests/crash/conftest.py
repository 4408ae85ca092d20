"""Recordings of what programs do to their files, for the tests of power failures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import powerloss
import pytest
from powerloss import Operation


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that records; tests that need it are skipped where it cannot be made."""
    return powerloss.compiled(tmp_path_factory.mktemp("recorder"))


@pytest.fixture(scope="module")
def record(recorder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Operation]]:
    """Record a program that works in an empty directory, and hold the recording to what then lies there."""

    @functools.cache
    def recorded(program: str) -> list[Operation]:
        home = tmp_path_factory.mktemp("recorded")
        operations = powerloss.record(recorder, home, program)
        found = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
        assert powerloss.final_tree(operations) == {
            name: content for name, content in found.items() if Path(name).name not in powerloss.NEVER_MATTER
        }, "the recorder has missed something"
        return operations

    return recorded
