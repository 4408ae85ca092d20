"""A backup as docs/OPERATIONS.md has it: what it copies is enough to serve the very same answers again."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lifelong
from lifelong.workspace import Workspace

KEPT = ("lifelong.toml", "log", "experts")


def back_up(home: Path, to: Path) -> None:
    """Copy what the page says must be kept, and nothing else."""
    to.mkdir()
    for name in KEPT:
        if (home / name).is_dir():
            shutil.copytree(home / name, to / name, ignore=shutil.ignore_patterns("replica"))
        else:
            shutil.copy2(home / name, to / name)


def test_a_restored_workspace_answers_as_the_one_that_was_backed_up(
    published: Workspace, tmp_path: Path, facts: Sequence[dict[str, Any]], strangers: Sequence[str]
) -> None:
    prompts = [*(record["prompt"] for record in facts), *strangers]
    before = [answer.text for answer in published.ask(prompts)]
    snapshot = published.status().snapshot
    back_up(published.home, tmp_path / "backup")
    shutil.rmtree(published.home)
    shutil.copytree(tmp_path / "backup", published.home)

    restored = lifelong.open(published.home)
    assert restored.rebuild().snapshot == snapshot
    assert [check.name for check in restored.doctor() if not check.ok] == []
    assert [answer.text for answer in restored.ask(prompts)] == before
    assert restored.status().head == published.status().head
