"""How long a rollback takes: `lifelong rollback` as a fresh process, and its work alone.

    python benchmarks/rollback.py [--facts 1000]

The workspace has two jobs on the embedded base, written by hand: a rollback opens the log and a snapshot, and reads no
expert. CPU time and wall time, beside those of a process that only imports torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import click

import lifelong
from editlog.events import Entry
from editlog.fact import Fact
from lifelong.snapshots.publishing import catch_up
from lifelong.workspace import Workspace


def job(workspace: Workspace, number: int, facts: Sequence[Fact]) -> None:
    """What a job leaves in the log and serves, but for the experts themselves."""
    log, name = workspace.log, f"job-{number}"
    log.ingest(list(facts), actor="ada")
    carried = [{"fact": f.seq, "expert": f"sha256:{f.seq:064x}"} for f in log.facts() if f.status == "pending"]
    applied = Entry("facts.applied", {"facts": carried, "pack": f"{number:064x}"})
    started, ended = Entry("job.started", {"facts": []}), Entry("job.finished", {"facts": len(facts), "seconds": 1.0})
    log.append([started, applied, ended], actor="night", job=name)
    catch_up(workspace.layout, log, workspace.recipe)


def process(words: Sequence[str]) -> dict[str, float]:
    """CPU and wall seconds of a command."""
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    after = getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu, 2), "wall_s": round(time.perf_counter() - began, 2)}


@click.command()
@click.option("--facts", default=1000, show_default=True)
def main(facts: int) -> None:
    """Make the workspace, roll it back, print the figures."""
    about = [(f"box {i}", f"The keeper of box {i} in Lindby is") for i in range(facts)]
    all_facts = [Fact(prompt=prompt, target="Ada", subject=name, relation="keeper") for name, prompt in about]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        workspace = lifelong.init(home, actor="ada")
        job(workspace, 1, all_facts[: facts // 2])
        job(workspace, 2, all_facts[facts // 2 :])
        fresh = process([sys.executable, "-m", "lifelong", "--home", str(home), "rollback", "--json"])
        job(workspace, 3, [Fact(prompt="The colour of box 1 is", target="red")])
        began, wall = time.process_time(), time.perf_counter()
        workspace.rollback()
        inside = {"cpu_s": time.process_time() - began, "wall_s": time.perf_counter() - wall}
    torch = process([sys.executable, "-c", "import torch"])
    print(json.dumps({"facts": facts, "fresh": fresh, "inside": inside, "import torch": torch}, indent=1))


if __name__ == "__main__":
    main()
