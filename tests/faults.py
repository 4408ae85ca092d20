"""Crashes and failing disks at named points, for the tests of all packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from editlog import failpoints


def die(act: Callable[[], object], point: str) -> None:
    """Act in a process of its own that ends at `point` as if killed: no clean-up, no flush, no farewell."""
    child = os.fork()
    if child == 0:
        os.environ[failpoints.VARIABLE] = point
        try:
            act()
        finally:
            os._exit(0)  # acknowledged, or failed in another way: both are wrong here
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137, f"{point} was not passed"


@contextmanager
def failing(point: str, fault: str) -> Iterator[None]:
    """The disk fails at `point` while the block runs."""
    os.environ[failpoints.VARIABLE] = f"{point}={fault}"
    try:
        yield
    finally:
        del os.environ[failpoints.VARIABLE]


def points_passed(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> set[str]:
    """The names of all points that an act passes."""
    passed: set[str] = set()
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "hit", passed.add)
        act()
    return passed
