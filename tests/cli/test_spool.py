"""`ingest --spool`: a log that is held is no failure; the facts are kept, and the next ingest takes them in."""

from __future__ import annotations

import json

import pytest
from terminal import Cli

from editlog.lock import locked
from editlog.store import EditLog
from lifelong.layout import Layout
from lifelong.workspace import Workspace

MARS = json.dumps({"prompt": "The sky over Mars is", "target": "butterscotch"})
VENUS = json.dumps({"prompt": "The sky over Venus is", "target": "orange"})


@pytest.fixture(autouse=True)
def _impatient(copy: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "log", EditLog(Layout(copy.home).log, timeout=0.1))


def test_what_is_spooled_is_acknowledged_shown_and_taken_in(copy: Cli) -> None:
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        done = copy("ingest", "-", "--spool", "--json", stdin=MARS)
        partly = copy("ingest", "-", "--spool", "--json", stdin=VENUS + "\nnonsense")
    assert (done.code, done.json["accepted"], done.json["rejected"]) == (0, 0, 0)
    assert f"spooled as {done.json['spooled']}" in done.err
    assert "not yet in the log" in done.err
    assert (partly.code, partly.json["rejected"]) == (3, 1)
    assert copy("status", "--json").json["inbox"]["waiting"] == 2
    assert copy("ingest", "-", stdin=MARS).code == 0
    assert copy("status", "--json").json["inbox"] == {"waiting": 0, "oldest_seconds": None}
    [event] = copy("log", "list", "--kind", "inbox.drained", "--limit", "1", "--json").json
    assert event["body"]["spool"] == partly.json["spooled"]


def test_a_log_that_cannot_even_be_opened_is_spooled_for(copy: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = property(lambda workspace: EditLog.open(workspace.layout.log, timeout=0.1))
    monkeypatch.setattr(Workspace, "log", opened)
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        done = copy("ingest", "-", "--spool", "--json", stdin=MARS)
    assert (done.code, bool(done.json["spooled"])) == (0, True)
    assert copy("ingest", "-", stdin=VENUS).code == 0
    assert [row["prompt"] for row in copy("fact", "history", "--prompt", "The sky over Mars is", "--json").json]


def test_without_spool_a_held_log_is_75(copy: Cli) -> None:
    with locked(Layout(copy.home).log, shared=False, timeout=1):
        assert copy("ingest", "-", stdin=MARS).code == 75
    assert copy("status", "--json").json["inbox"]["waiting"] == 0
