"""A job that was interrupted is carried on by the next run: behind its last finished wave, to the same result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lifelong
from lifelong.editors.lora import LoraEditor
from lifelong.jobs.progress import Silent
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
SMALL_WAVES = {"grouping": {"mini_batch": 4, "wave": 4}}


class Interrupted(Silent):
    """Ends the process, as Ctrl-C would, at the start of a stage or once so many facts are trained."""

    def __init__(self, *, at: str | None = None, after: int = 1000) -> None:
        self._at, self._left = at, after

    def stage(self, name: str, total: int) -> None:
        if name == self._at:
            raise KeyboardInterrupt

    def advance(self, n: int) -> None:
        self._left -= n
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.fixture
def waiting(tmp_path: Path, make_workspace: Callable[..., Workspace], facts: Records, write_facts: Any) -> Workspace:
    """A workspace in which a dozen facts wait, to be trained in three waves."""
    workspace = make_workspace(tmp_path / "home", **SMALL_WAVES)
    workspace.ingest(write_facts(facts))
    return workspace


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace], facts: Records
) -> set[str]:
    """The experts that a workspace with the same facts reaches when nothing happens to it."""
    import io
    import json

    workspace = make_workspace(tmp_path_factory.mktemp("undisturbed") / "home", **SMALL_WAVES)
    workspace.ingest(io.BytesIO("".join(json.dumps(fact) + "\n" for fact in facts).encode()))
    workspace.run()
    return hashes(workspace)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many facts each training pass had."""
    sizes: list[int] = []
    fit = LoraEditor.fit

    def counted(editor: LoraEditor, base: Any, wave: Any, **options: Any) -> Any:
        sizes.append(len(wave.lessons))
        return fit(editor, base, wave, **options)

    monkeypatch.setattr(LoraEditor, "fit", counted)
    return sizes


def hashes(workspace: Workspace) -> set[str]:
    return {row.hash for row in workspace.experts()}


def interrupt(workspace: Workspace, progress: Interrupted, seed: int = 0) -> Workspace:
    with pytest.raises(KeyboardInterrupt):
        workspace.run(progress=progress, seed=seed)
    return lifelong.open(workspace.home)


def test_finished_waves_are_not_trained_again(waiting: Workspace, undisturbed: set[str], fits: list[int]) -> None:
    after = interrupt(waiting, Interrupted(after=8))
    assert after.plan().resumes == "job-1"
    assert after.status().facts["pending"] == 12
    fits.clear()
    report = after.run()
    assert (report.job, report.resumed, report.status) == ("job-1", True, "published")
    assert fits == [4]
    assert hashes(after) == undisturbed


@pytest.mark.parametrize("stage", ["audit", pytest.param("publish", marks=pytest.mark.slow)])
def test_what_was_trained_is_kept_through_any_stage(
    waiting: Workspace, undisturbed: set[str], fits: list[int], stage: str
) -> None:
    after = interrupt(waiting, Interrupted(at=stage))
    fits.clear()
    assert after.run().resumed
    assert fits == []
    assert hashes(after) == undisturbed


@pytest.mark.slow
def test_a_damaged_wave_is_trained_again(waiting: Workspace, undisturbed: set[str]) -> None:
    after = interrupt(waiting, Interrupted(at="audit"))
    for path in (after.layout.runs / "job-1" / "waves").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert after.run().exit_code == 0
    assert hashes(after) == undisturbed


@pytest.mark.slow
def test_a_resumed_job_keeps_its_seed(waiting: Workspace) -> None:
    after = interrupt(waiting, Interrupted(at="audit"), seed=5)
    after.run(seed=6)
    (started,) = after.log.events(kinds=["job.started"])
    assert started.body["seed"] == 5


@pytest.mark.slow
def test_another_recipe_begins_another_job(waiting: Workspace) -> None:
    interrupt(waiting, Interrupted(at="audit"))
    config = waiting.layout.config.read_text(encoding="utf-8")
    waiting.layout.config.write_text(config.replace("rank = 4", "rank = 5"), encoding="utf-8")
    report = lifelong.open(waiting.home).run()
    assert (report.job, report.resumed, len(report.applied)) == ("job-2", False, 12)


def test_a_fact_retracted_meanwhile_is_left_out(waiting: Workspace, facts: Records) -> None:
    after = interrupt(waiting, Interrupted(at="audit"))
    after.retract(["f4"], reason="a test")
    report = after.run()
    assert (report.resumed, len(report.applied)) == (True, 11)
    assert not after.ask(facts[0]["prompt"])[0].hit


@pytest.mark.slow
def test_facts_that_came_meanwhile_are_not_lost(waiting: Workspace, write_facts: Any) -> None:
    after = interrupt(waiting, Interrupted(at="audit"))
    after.ingest(write_facts([{"prompt": "The trade of Mira Sand is", "target": "miller"}], "late.jsonl"))
    while after.run().status != "nothing-pending":
        pass
    assert after.ask("The trade of Mira Sand is")[0].text == "miller"
    assert after.status().facts["applied"] == 13


def test_a_publish_that_was_cut_short_is_finished(waiting: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says the facts are applied; only the snapshot's rename is missing."""
    from lifelong.jobs import promotion

    serve = promotion.serve

    def cut(snapshots: Path, name: str, **point: str) -> None:
        if snapshots == waiting.layout.snapshots:
            raise KeyboardInterrupt
        serve(snapshots, name, **point)

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "serve", cut)
        with pytest.raises(KeyboardInterrupt):
            waiting.run()
    after = lifelong.open(waiting.home)
    assert after.status().snapshot_behind
    assert after.experts() == []
    assert after.run().status == "nothing-pending"
    assert len(after.experts()) == 12
    assert not after.status().snapshot_behind
