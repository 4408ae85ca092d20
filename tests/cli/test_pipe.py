"""A million lines through a pipe: counted, and no more memory than for a few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal import ROOT

from lifelong.workspace import Workspace

MILLION = 1_000_000
ABOVE_IDLE = 300 << 10  # KiB, as ru_maxrss counts


def piped(home: Path, lines: int) -> tuple[int, int]:
    """Write facts into `lifelong ingest -` as they are made; returns how many it took in, and its peak RSS in KiB."""
    words = [sys.executable, "-m", "lifelong", "--home", str(home), "ingest", "-", "--json"]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as stream:
        for number in range(lines):
            stream.write(b'{"prompt": "The capital of land %d is", "target": "city %d"}\n' % (number, number % 7))
    with process.stdout as stream:
        accepted = int(json.load(stream)["accepted"])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return accepted, used.ru_maxrss


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_lines_take_no_more_memory_than_a_few(
    tmp_path: Path, make_workspace: Callable[..., Workspace]
) -> None:
    make_workspace(tmp_path / "few")
    make_workspace(tmp_path / "million")
    _, idle = piped(tmp_path / "few", 10)
    accepted, peak = piped(tmp_path / "million", MILLION)
    assert accepted == MILLION
    assert peak - idle < ABOVE_IDLE
