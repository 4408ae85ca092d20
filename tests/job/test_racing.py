"""Two runs race for one workspace: one job is done, the other ends with the exit code for busy."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog.errors import Busy
from lifelong.workspace import Workspace

# Both have loaded all they need before either begins: what they race for is the lease, not the imports.
RACER = """
import sys
import torch, transformers, faiss, lifelong.jobs.job, lifelong.snapshots.publishing
from lifelong.cli import main
print("ready", flush=True)
sys.stdin.readline()
main(["--home", sys.argv[1], "run", "--actor", sys.argv[2], "--json"])
"""


def start(home: Path, actor: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RACER, str(home), actor],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_one_of_two_runs_does_the_job_and_the_other_ends_busy(
    workspace: Workspace, facts: Sequence[dict[str, Any]], write_facts: Callable[..., Path]
) -> None:
    workspace.ingest(write_facts(facts))
    racers = [start(workspace.home, actor) for actor in ("first", "second")]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=240) for racer in racers]
    ended = sorted(zip([racer.returncode for racer in racers], said, strict=True))
    (won, (report, _)), (lost, (nothing, sentence)) = ended
    assert (won, lost, nothing) == (0, Busy.exit_code, "")
    assert "try again" in sentence
    assert "Traceback" not in sentence
    assert json.loads(report)["applied"] == len(facts)
    after = lifelong.open(workspace.home)
    assert len(after.log.events(kinds=["job.started"])) == len(after.log.events(kinds=["job.finished"])) == 1
    assert after.status().facts["applied"] == len(facts)
    assert after.log.verify() == []
