"""gc lets go what retention does not promise, says what can no longer be asked, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import torch

import lifelong
from editlog.errors import LifelongError, UsageError
from editlog.events import Entry
from lifelong.editors.state import State, write_state
from lifelong.workspace import Workspace
from policies import retention

PROMPT = "Paul Finch plays the"
RETENTION = "\n[retention]\nkeep_snapshot_days = 0\nkeep_snapshots = 1\nkeep_runs = 1\n"


@pytest.fixture
def aged(published: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of four snapshots (empty, twelve facts, eleven, ten), in which an hour is nothing."""
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    refs = [fact.ref for fact in published.log.facts() if fact.fact.subject in ("Tarvia", "Bruno Hale")]
    published.retract(refs[:1], reason="wrong", actor="bob")
    published.retract(refs[1:2], reason="wrong", actor="bob")
    with published.layout.config.open("a", encoding="utf-8") as config:
        config.write(RETENTION)
    return lifelong.open(published.home)


def snapshots(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.layout.snapshots.iterdir() if path.is_dir()}


def everything(workspace: Workspace) -> set[str]:
    return {str(path) for path in workspace.home.rglob("*") if path.name != "LOCK"}


def test_a_dry_run_says_what_would_go_and_touches_nothing(aged: Workspace) -> None:
    before, head = everything(aged), aged.log.head()
    found = aged.gc(dry_run=True)
    assert len(found.snapshots) == 2
    assert found.bytes > 0
    assert (everything(aged), aged.log.head(), found.event) == (before, head, None)


def test_what_goes_is_recorded_and_the_past_that_is_gone_is_told(aged: Workspace) -> None:
    was = aged.ask(PROMPT, as_of="job-1")[0].text
    assert was == "crown"
    found = aged.gc(actor="ada", reason="room")
    assert len(snapshots(aged)) == 2
    assert (aged.layout.snapshots / "CURRENT").read_text().strip() in snapshots(aged)
    [event] = aged.log.events(kinds=["retention.applied"])
    assert (event.seq, event.actor, event.reason) == (found.event, "ada", "room")
    assert {one["snapshot"] for one in event.body["snapshots"]} == set(found.snapshots)
    [span] = found.as_of_lost
    assert span["from_seq"] == 2
    with pytest.raises(UsageError, match="is not kept any more: gc removed it on"):
        aged.ask(PROMPT, as_of="job-1")
    assert aged.ask(PROMPT)[0].text == was
    assert aged.log.verify() == []
    assert aged.log.facts(as_of="job-1")[0].status == "applied"


def test_a_bad_night_can_be_undone_after_gc(aged: Workspace) -> None:
    """Retention promises one snapshot; the one that a rollback goes back to stays all the same, also after it."""
    aged.gc()
    back = aged.rollback(actor="bob", reason="support saw nonsense")
    assert back.as_of < aged.log.events(kinds=["fact.retracted"])[-1].seq
    assert len(back.retracted_since) == 1
    assert aged.gc().snapshots == []
    assert aged.status().snapshot == back.snapshot


def test_gc_twice_finds_nothing_more(aged: Workspace) -> None:
    aged.gc()
    before = everything(aged)
    again = aged.gc()
    assert (again.snapshots, again.packs, again.runs, again.event) == ([], [], [], None)
    assert everything(aged) == before


def test_what_may_answer_again_stays(aged: Workspace, tmp_path: Path) -> None:
    """A superseded fact's pack is needed once the newer fact is taken back, also when no snapshot names it."""
    old = next(fact for fact in aged.log.facts() if fact.fact.prompt == PROMPT)
    stray = aged.layout.experts / f"{'ab' * 32}.safetensors"
    stray.write_bytes(b"of no fact")
    found = aged.gc()
    assert found.packs == ["ab" * 32]
    assert not stray.exists()
    assert aged.ask(PROMPT)[0].fact == old.ref
    assert all(check.ok for check in aged.doctor() if check.name in ("log", "snapshot", "packs"))


def test_the_state_of_an_editor_goes_once_neither_the_log_nor_a_kept_snapshot_names_it(aged: Workspace) -> None:
    """Every wave of an editor that accumulates leaves one behind."""
    first, shown, latest = (write_state(aged.layout.states, State({"w": torch.full((2,), i)})) for i in (1.0, 2.0, 3.0))
    aged.log.append([Entry("state.kept", {"state": shown})], actor="ada")
    aged.rebuild()
    aged.log.append([Entry("state.kept", {"state": latest})], actor="ada")
    found = aged.gc()
    assert found.states == [first]
    assert sorted(path.stem for path in aged.layout.states.glob("*.safetensors")) == sorted([shown, latest])
    assert aged.log.events(kinds=["retention.applied"])[-1].body["states"] == [first]
    assert aged.gc().states == []


def test_old_job_directories_and_leftovers_go_but_not_those_of_a_job_that_is_unfinished(aged: Workspace) -> None:
    runs = aged.layout.runs
    shutil.copytree(runs / "job-1", runs / "job-99")  # the log knows no such job
    old = aged.layout.snapshots / f".new.{'0' * 16}"
    old.mkdir()
    os.utime(old, (0, 0))
    young = aged.layout.experts / f".pack.{'0' * 16}"
    young.touch()
    found = aged.gc()
    assert (found.leftovers, old.exists(), young.exists()) == (1, False, True)
    assert (runs / "job-1").is_dir()
    assert (runs / "job-99").is_dir()


@pytest.mark.parametrize("after", [0, 1, 3])
def test_killed_in_between_the_next_gc_lets_the_rest_go(
    aged: Workspace, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from editlog import durable

    calls = []

    def failing(source: Path, target: Path, *, point: str) -> None:
        if point == "gc":
            calls.append(source)
            if len(calls) > after // 2:
                if after % 2:
                    source.rename(target)
                raise LifelongError("killed")
        source.rename(target)

    monkeypatch.setattr(durable, "rename", failing)
    with pytest.raises(LifelongError, match="killed"):
        aged.gc()
    monkeypatch.undo()
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    assert aged.ask(PROMPT)[0].text == "crown"
    assert aged.log.verify() == []
    aged.gc()
    assert len(snapshots(aged) - {path.name for path in aged.layout.snapshots.glob(".*")}) == 2
    assert aged.ask(PROMPT)[0].text == "crown"
