"""Rebase: the log replayed onto another base, beside the old workspace, which nobody touches."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lifelong
from editlog.errors import UsageError
from editlog.fact import Fact
from editlog.store import EditLog
from lifelong.jobs.progress import Silent
from lifelong.jobs.rebasing import Rebased, known_by
from lifelong.workspace import Workspace

Records = Sequence[dict[str, Any]]


def content(home: Path) -> dict[str, str]:
    """Every file of a workspace by the hash of its bytes, the lock and the log's cache left out."""
    files = (path for path in home.rglob("*") if path.is_file() and path.name not in ("LOCK", "lock"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if "replica" not in path.parts}


@pytest.fixture(scope="module")
def another_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with other weights than the workspace's, which knows none of the facts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.001)
    folder = tmp_path_factory.mktemp("another-model")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def rebase(published: Workspace, out: Path, model: Path) -> Rebased:
    return published.rebase(out, model=str(model), actor="ada")


def test_what_would_be_replayed_is_told_without_a_model(published: Workspace, tmp_path: Path, facts: Records) -> None:
    found = published.rebase(tmp_path / "new", model="no-such-model", dry_run=True)
    assert found.counts == {"pending": len(facts)}
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_log_is_replayed_beside_the_old_workspace(
    published: Workspace, tmp_path: Path, another_model: Path, facts: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifelong.models.base import Base

    published.retract(["f4"], actor="ada")
    before = content(published.home)
    generate: Callable[..., list[str]] = Base.generate
    targets = {record["prompt"]: record["target"] for record in facts[:2]}

    def knows_two(base: Base, prompts: Sequence[str], **options: Any) -> list[str]:
        said = generate(base, prompts, **options)
        return [targets.get(prompt, answer) for prompt, answer in zip(prompts, said, strict=True)]

    monkeypatch.setattr(Base, "generate", knows_two)
    done = rebase(published, tmp_path / "new", another_model)
    assert content(published.home) == before
    assert done.left_out == {"retracted": 1}
    assert done.counts["known"] + done.counts["applied"] + done.counts.get("failed", 0) == len(facts) - 1
    assert {one["prompt"] for one in done.facts if one["outcome"] == "known"} <= set(targets)
    assert done.old["base"] != done.new["base"]
    assert Path(str(done.page)).read_text(encoding="utf-8").count("<tr>") >= len(facts)

    again = rebase(published, tmp_path / "new", another_model)
    assert again.counts == done.counts
    assert again.new == done.new


class Killed(Silent):
    """Kills its process at the start of a stage."""

    def __init__(self, at: str) -> None:
        self._at = at

    def stage(self, name: str, total: int) -> None:
        if name == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(home: Path, out: Path, model: Path, at: str) -> None:
    """Rebase in a process of its own that does not survive."""
    child = os.fork()
    if child == 0:
        try:
            lifelong.open(home).rebase(out, model=str(model), actor="ada", progress=Killed(at))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "the rebase was over before"


@pytest.mark.slow
def test_a_rebase_that_was_killed_goes_on_to_the_same_end(
    published: Workspace, tmp_path: Path, another_model: Path
) -> None:
    undisturbed = rebase(published, tmp_path / "undisturbed", another_model)
    expected = {row.hash for row in lifelong.open(tmp_path / "undisturbed").experts()}
    out = tmp_path / "killed"
    for stage in ("ask the new base", "train", "audit", "publish"):
        killed(published.home, out, another_model, stage)
    done = rebase(published, out, another_model)
    assert done.counts == undisturbed.counts
    after = lifelong.open(out)
    assert {row.hash for row in after.experts()} == expected
    kinds = [event.kind for event in after.log.events(kinds=["job.started", "job.finished"])]
    assert kinds == ["job.started", "job.finished"], "one job, carried on each time"
    assert after.log.verify() == []


def test_a_line_that_a_crash_cut_short_is_asked_again_and_spoils_no_other(tmp_path: Path) -> None:
    asked = []

    class Base:
        def fits(self, text: str) -> bool:
            return True

        def generate(self, prompts: Sequence[str], **_: Any) -> list[str]:
            asked.extend(prompts)
            return ["yes"] * len(prompts)

    log = EditLog.create(tmp_path / "log", actor="ada")
    log.ingest([Fact(prompt=prompt, target="yes") for prompt in "ABCD"], actor="ada")
    first, second, third, fourth = live = log.facts()
    (tmp_path / "rebase.asked").write_text(f"{first.seq} 0\n{second.seq} 1\n{third.seq}")
    new = SimpleNamespace(
        home=tmp_path,
        load_base=Base,
        recipe=SimpleNamespace(audit=SimpleNamespace(max_new_tokens=4)),
    )
    for _ in range(2):  # and what was added behind the torn line is read again
        assert known_by(new, live, Silent()) == {second.seq, third.seq, fourth.seq}
    assert asked == ["C", "D"]


def test_a_rebase_never_writes_into_what_is_something_else(published: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose another --out"):
        published.rebase(published.home, model="embedded")
    other = tmp_path / "other"
    other.mkdir()
    (other / "rebase.json").write_text(json.dumps({"workspace": "of somebody else", "model": "embedded"}))
    with pytest.raises(UsageError, match="rebase of another workspace"):
        published.rebase(other, model="embedded")
