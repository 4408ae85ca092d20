"""Rolling back: what was served before answers again at once, and the next job goes on without what was rolled back."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lifelong
from editlog.errors import UsageError
from lifelong.anchors import stored
from lifelong.cli import main
from lifelong.cli.evaluate import NOTHING_SERVED
from lifelong.snapshots import publishing
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
LATER = {"prompt": "The trade of Mira Sand is", "target": "miller"}


@pytest.fixture(scope="module")
def twice_home(published_home: Path, tmp_path_factory: pytest.TempPathFactory, facts: Records) -> Path:
    """A workspace whose second job corrected the first fact and added one."""
    home = tmp_path_factory.mktemp("twice") / "home"
    shutil.copytree(published_home, home)
    workspace = lifelong.open(home)
    changed = {**facts[0], "target": "Dunmere", "rephrases": [], "near_misses": []}
    more = "".join(json.dumps(record) + "\n" for record in (changed, LATER))
    workspace.ingest(io.BytesIO(more.encode()), actor="ada")
    assert workspace.run(actor="ada").exit_code == 0
    return home


@pytest.fixture
def twice(twice_home: Path, tmp_path: Path) -> Workspace:
    home = tmp_path / "twice"
    shutil.copytree(twice_home, home)
    return lifelong.open(home)


def test_what_was_served_before_answers_again(
    twice: Workspace, facts: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "build_gate", lambda *_: pytest.fail("nothing is embedded anew"))
    before, head = twice.status(), twice.log.head().seq
    done = twice.rollback(actor="bob", reason="support saw nonsense")
    assert (done.was, len(done.held), done.retracted_since) == (before.snapshot, 2, [])
    assert twice.ask(facts[0]["prompt"])[0].text == facts[0]["target"]
    assert not twice.ask(LATER["prompt"])[0].hit
    after = twice.status()
    assert (after.snapshot, after.snapshot_behind, after.facts["held"]) == (done.snapshot, False, 2)
    assert twice.log.head().seq > head
    assert [event.actor for event in twice.log.events(kinds=["snapshot.rolled_back"])] == ["bob"]
    assert twice.run().status == "nothing-pending"
    assert twice.status().snapshot == done.snapshot


def test_the_next_job_goes_on_from_the_log(twice: Workspace, facts: Records, write_facts: Callable[..., Path]) -> None:
    held = twice.rollback(to="job-1").held
    twice.ingest(write_facts([{"prompt": "The river through Kirnach is", "target": "the Velda"}]))
    twice.approve([held[1]], actor="bob")
    applied = twice.run().applied
    assert len(applied) == 2
    assert held[1] in applied
    assert twice.ask(LATER["prompt"])[0].text == "miller"
    assert twice.ask(facts[0]["prompt"])[0].text == facts[0]["target"]
    assert [check.detail for check in twice.doctor() if not check.ok] == []


def test_a_rollback_that_was_cut_short_is_finished(twice: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelong.jobs import rollback

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rollback, "serve", cut)
        with pytest.raises(KeyboardInterrupt):
            twice.rollback()
    assert twice.status().snapshot_behind
    assert twice.run().status == "nothing-pending"
    assert not twice.ask(LATER["prompt"])[0].hit
    assert twice.ask(LATER["prompt"], as_of="job-2")[0].text == "miller"


def test_a_dry_run_says_what_would_be_held_and_does_nothing(twice: Workspace) -> None:
    head, served = twice.log.head(), twice.status().snapshot
    assert len(twice.rollback(dry_run=True).held) == 2
    assert (twice.log.head(), twice.status().snapshot) == (head, served)


def test_what_this_version_cannot_read_is_not_rolled_back_to(twice: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    head, served = twice.log.head(), twice.status().snapshot
    monkeypatch.setattr(stored, "FORMAT", stored.FORMAT + 1)
    with pytest.raises(UsageError, match="another version of lifelong"):
        twice.rollback()
    assert (twice.log.head(), twice.status().snapshot) == (head, served)


def test_only_what_was_served_before_can_be_rolled_back_to(twice: Workspace) -> None:
    with pytest.raises(UsageError, match="earlier job"):
        twice.rollback(to="job-2")
    with pytest.raises(UsageError, match="job-9"):
        twice.rollback(to="job-9")


def test_status_counts_those_held_once(twice: Workspace) -> None:
    twice.rollback()
    assert (twice.status().facts["held"], twice.status().held) == (2, {})
    told = CliRunner().invoke(main, ["--home", str(twice.home), "status"]).stdout.replace(str(twice.home), "")
    assert "held 2" in told
    assert told.count("held") == 1


def test_live_figures_of_nothing_are_one_sentence(workspace: Workspace) -> None:
    told = CliRunner().invoke(main, ["--home", str(workspace.home), "eval", "--live"])
    assert (told.exit_code, told.stdout.splitlines()) == (0, [NOTHING_SERVED])
