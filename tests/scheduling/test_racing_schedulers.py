"""Two foreground schedulers on one workspace: what was due is one job, whichever of them does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lifelong.scheduling.scheduler import Memory
from lifelong.workspace import Workspace


def scheduler(home: Path, name: str) -> subprocess.Popen[str]:
    """`lifelong schedule run`, as a container would start it; what it says goes to a file."""
    words = ["--home", str(home), "schedule", "run", "--cron", "0 0 1 1 *", "--timezone", "UTC", "--actor", name]
    with (home / f"{name}.said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "lifelong", *words],
            stderr=said,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_two_schedulers_missed_is_one_job(
    workspace: Workspace, facts: Sequence[dict[str, Any]], write_facts: Callable[..., Path]
) -> None:
    workspace.ingest(write_facts(facts))
    Memory(workspace.home / "schedule.last").keep(
        datetime(2020, 1, 2, tzinfo=UTC)
    )  # both find a moment that was missed
    both = [scheduler(workspace.home, name) for name in ("first", "second")]
    try:
        while not all("ended with exit code" in said(workspace, name) for name in ("first", "second")):
            assert [one.poll() for one in both] == [None, None], "a scheduler gave up"
            time.sleep(1)
    finally:
        for one in both:
            one.send_signal(signal.SIGTERM)
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    codes = sorted(said(workspace, name).rpartition("exit code ")[2].split()[0] for name in ("first", "second"))
    assert codes in (["0", "75"], ["0", "0"]), "one did the job; the other found it busy, or nothing to do"
    kinds = [event.kind for event in workspace.log.events(kinds=["job.started", "job.finished"])]
    assert kinds == ["job.started", "job.finished"]
    assert workspace.status().facts["applied"] == len(facts)
    assert workspace.log.verify() == []


def said(workspace: Workspace, name: str) -> str:
    return (workspace.home / f"{name}.said").read_text(encoding="utf-8")
