"""While a writer holds the log: what reads answers from the replica and says so, what writes is told to come again."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from terminal import Cli

from editlog.fallback import PATIENCE
from editlog.lock import locked
from editlog.store import EditLog
from lifelong.layout import Layout
from lifelong.workspace import Workspace

READS = ["log query", "log list", "log show 3", "fact show f4", "fact history f4", "status", "plan", "blame"]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long in these tests."""
    monkeypatch.setattr("editlog.fallback.PATIENCE", PATIENCE / 10)


def words(command: str, edited: dict[str, str]) -> list[str]:
    last = {"blame": [edited["prompt"]], "log query": ["FROM facts ORDER BY seq"]}
    return [*command.split(), *last.get(command, [])]


@pytest.mark.parametrize("command", READS)
def test_reads_answer_from_the_replica_and_say_so(
    copy: Cli, edited: dict[str, str], command: str, caplog: pytest.LogCaptureFixture
) -> None:
    free = copy(*words(command, edited), "--json")
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        busy = copy(*words(command, edited), "--json")
    assert (free.code, busy.code) == (0, 0)
    [said] = caplog.messages  # which goes to stderr where no handler is installed
    assert said.startswith("The edit log is busy: this is the replica at event ")
    assert said.endswith(" s ago")
    if command != "status":  # which says for how long facts have waited
        assert busy.json == free.json


def test_reads_see_what_was_just_written(copy: Cli) -> None:
    fact = {"prompt": "The sky over Mars is", "target": "butterscotch"}
    assert copy("ingest", "-", stdin=json.dumps(fact)).code == 0
    [event] = copy("log", "list", "--limit", "1", "--json").json
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        assert copy("log", "list", "--limit", "1", "--json").json == [event]
    assert event["kind"] == "fact.put"


def test_an_older_replica_does_not_call_what_is_served_behind(
    copy: Cli, edited: dict[str, str], tmp_path: Path
) -> None:
    """It is the replica that is behind: whoever took it at its word would rebuild for nothing."""
    layout = Layout(copy.home)
    shutil.copytree(layout.replica, tmp_path / "older")
    assert copy("retract", edited["ref"], "--reason", "wrong").code == 0
    shutil.rmtree(layout.replica)
    shutil.copytree(tmp_path / "older", layout.replica)
    with locked(layout.log, shared=False, timeout=1):
        told = copy("status", "--json").json
    assert told["head"] < copy("status", "--json").json["head"]
    assert not told["snapshot_behind"]


def test_75_where_there_is_no_replica_either(copy: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(Layout(copy.home).replica)
    monkeypatch.setattr("editlog.fallback.EditLog", partial(EditLog, timeout=0.1))
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        done = copy("log", "list")
    assert (done.code, done.out) == (75, "")
    assert "held by another process: try again" in done.err


def test_the_replica_is_made_by_the_first_command_that_writes(home: Path) -> None:
    assert (Layout(home).replica / "MANIFEST").exists()


def test_75_for_what_writes(copy: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = EditLog(Layout(copy.home).log, timeout=0.1)
    monkeypatch.setattr(Workspace, "log", impatient)
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        done = copy("retract", "f4", "--reason", "none")
    assert (done.code, done.out) == (75, "")
