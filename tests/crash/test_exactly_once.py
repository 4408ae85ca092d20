"""The same facts, however often, in whatever order, pieces and processes they are delivered: each is there once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editlog.fact import Fact
from editlog.lock import locked
from editlog.store import EditLog
from lifelong.config import Config
from lifelong.layout import Layout
from lifelong.workspace import Workspace

RECORDS: list[dict[str, Any]] = [
    {"prompt": f"Prompt number {n % 30} is", "target": f"target {n}", "subject": f"subject {n % 30}"} for n in range(40)
]
RACERS = 8


def make_workspace(home: Path) -> Workspace:
    """A workspace without a base model: an ingest needs none."""
    layout = Layout(home)
    home.mkdir()
    layout.config.write_text(Config().to_toml())
    EditLog.create(layout.log, actor="ada")
    return Workspace(layout, Config())


def as_lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def holds_each_once(log: EditLog, records: list[dict[str, Any]]) -> None:
    found = [fact.fact.digest for fact in log.facts()]
    assert sorted(found) == sorted({Fact(**record).digest for record in records})
    assert log.verify() == []


deliveries = st.lists(
    st.tuples(st.randoms(use_true_random=False), st.lists(st.integers(0, len(RECORDS)), max_size=1)),
    min_size=10,
    max_size=10,
)


@settings(max_examples=2, deadline=None)
@given(deliveries=deliveries, distinct=st.booleans())
def test_the_same_file_ten_times_shuffled_and_split(deliveries: list[tuple[Random, list[int]]], distinct: bool) -> None:
    """Also where facts of the file answer one prompt differently: the last one of the first delivery governs."""
    records = RECORDS[:30] if distinct else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder) / "home")
        workspace.ingest(io.BytesIO(as_lines(records)), actor="ada")
        governing = {fact.fact.digest for fact in workspace.log.facts() if fact.governs}
        for random, cuts in deliveries:
            shuffled = random.sample(records, len(records))
            bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
            for start, end in pairwise(bounds):
                workspace.ingest(io.BytesIO(as_lines(shuffled[start:end])), actor="ada")
        holds_each_once(workspace.log, records)
        assert {fact.fact.digest for fact in workspace.log.facts() if fact.governs} == governing


def lifelong(home: Path, *words: str) -> subprocess.Popen[str]:
    """The installed command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lifelong", "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("copies", [10, pytest.param(1_000, marks=pytest.mark.crash)])
def test_eight_racing_ingests_of_one_file(tmp_path: Path, copies: int) -> None:
    """Each of them is done (0) or told to come again (75); what is there in the end are the distinct facts."""
    workspace = make_workspace(tmp_path / "home")
    records = [{**record, "prompt": f"{copy}: {record['prompt']}"} for copy in range(copies) for record in RECORDS[:30]]
    (tmp_path / "facts.jsonl").write_bytes(as_lines(records))
    racers = [lifelong(workspace.home, "ingest", str(tmp_path / "facts.jsonl"), "--json") for _ in range(RACERS)]
    ended = [(racer.communicate(timeout=280), racer.returncode) for racer in racers]
    assert {code for _, code in ended} <= {0, 75}, ended
    receipts = [json.loads(out) for (out, _), code in ended if code == 0]
    print(f"\n{len(receipts)} of {RACERS} racing ingests of {len(records)} facts were done, the others exited 75")
    assert sum(receipt["accepted"] for receipt in receipts) == len(records)
    assert sorted(receipt["accepted"] for receipt in receipts)[:-1] == [0] * (len(receipts) - 1)
    holds_each_once(workspace.log, records)


@pytest.mark.crash
def test_75_and_nothing_written_where_the_log_stays_held(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "home")
    (tmp_path / "facts.jsonl").write_bytes(as_lines(RECORDS))
    before = workspace.log.head()
    with locked(workspace.layout.log, shared=False, timeout=1):
        racer = lifelong(workspace.home, "ingest", str(tmp_path / "facts.jsonl"))
        out, err = racer.communicate(timeout=120)
    assert (racer.returncode, out) == (75, "")
    assert "held by another process: try again" in err
    assert workspace.log.head() == before
