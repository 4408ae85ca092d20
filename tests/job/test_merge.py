"""Merging makes new experts, tells the log, and loses nothing: as-of, undo and the latest answer are as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from watcher import Watcher

import lifelong
from editlog.errors import UsageError
from lifelong.cli.merge import METHODS
from lifelong.workspace import Workspace
from policies.merging import Method

DIALS: dict[str, dict[str, Any]] = {
    "experts": {"rank_per_token": 1},
    "merging": {"facts_per_expert": 2},
}
CAPITALS = [
    {"prompt": f"The capital of {land} is", "target": "Marbeck", "subject": land, "relation": "capital"}
    for land in ("Osterland", "Norrland", "Tarvia", "Corvale")
]


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def merged_home(
    tmp_path_factory: pytest.TempPathFactory,
    make_workspace: Callable[..., Workspace],
) -> Path:
    """Four facts with one answer, each with its expert, then merged two and two."""
    home = tmp_path_factory.mktemp("merged") / "home"
    workspace = make_workspace(home, **DIALS)
    workspace.ingest(lines(home.parent / "facts.jsonl", CAPITALS), actor="ada")
    workspace.run(actor="ada")
    foreseen = workspace.merge(experts=2, dry_run=True)
    assert (foreseen.experts_before, foreseen.experts_after) == (4, 2)
    assert foreseen.bytes_after == foreseen.bytes_before // 2
    watcher = Watcher()
    done = workspace.merge(experts=2, actor="ada", reason="tidy", progress=watcher)
    assert (done.tried, done.kept, done.experts_after) == (2, 2, 2)
    assert done.bytes_after == foreseen.bytes_after
    assert watcher.told[:2] == [["mix", 4, 4], ["distil", 4, 4]]
    assert watcher.told[-1] == ["done"]
    return home


@pytest.fixture
def merged(merged_home: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(merged_home, tmp_path / "home")
    return lifelong.open(tmp_path / "home")


def answers(workspace: Workspace, **when: Any) -> list[str]:
    return [workspace.ask(fact["prompt"], max_new_tokens=8, **when)[0].text.strip() for fact in CAPITALS]


def test_every_fact_is_answered_by_the_merged_experts(merged: Workspace) -> None:
    assert answers(merged) == ["Marbeck"] * 4
    assert len(merged.experts()) == 2
    assert {fact.job for fact in merged.log.facts()} == {"job-1"}  # a merge is not the job that applied them
    events = merged.log.events(kinds=["experts.merged", "experts.retired"])
    assert [event.actor for event in events] == ["ada", "ada"]
    (made,) = (event for event in events if event.kind == "experts.merged")
    assert sum(len(one["from"]) for one in made.body["merged"]) == 4


def test_the_past_is_answered_by_the_experts_it_had(merged: Workspace) -> None:
    before = merged.log.events(kinds=["experts.merged"])[0].seq - 1
    assert len(merged.experts(as_of=before)) == 4
    assert answers(merged, as_of=before) == ["Marbeck"] * 4


def test_a_rebuild_gives_the_same_snapshot(merged: Workspace) -> None:
    assert merged.rebuild().identical


def test_a_retracted_fact_leaves_the_weights_with_the_next_merge(merged: Workspace) -> None:
    first, *_ = merged.log.facts()
    shared = {fact.ref: fact.expert for fact in merged.log.facts()}
    partner = next(ref for ref, expert in shared.items() if expert == shared[first.ref] and ref != first.ref)
    merged.retract([first.ref], actor="ada")
    assert not merged.ask(CAPITALS[0]["prompt"], max_new_tokens=8)[0].hit
    done = merged.merge(experts=2, actor="ada")
    assert (done.tried, done.kept) == (1, 1)
    alone = merged.expert(merged.log.resolve(partner).expert or "")
    assert [held["fact"] for held in alone.facts] == [partner]
    assert merged.log.verify() == []


def test_an_expert_of_a_redacted_fact_is_retired_and_the_others_are_trained_again(merged: Workspace) -> None:
    first, *_ = merged.log.facts()
    found = merged.redact([first.ref], reason="asked for", actor="dpo")
    assert len(found.to_train_again) == 1
    merged.run(actor="night")
    assert answers(merged)[1:] == ["Marbeck"] * 3


def test_the_latest_answers_also_over_a_merged_expert(merged: Workspace, tmp_path: Path) -> None:
    """Edited again by a file that contradicts itself, then back: the fact that was said last answers, always."""
    wrong, right = ({**CAPITALS[0], "target": target} for target in ("Dunmere", "Lindby"))
    back = {**CAPITALS[0], "id": "back"}
    for number, (said, superseding) in enumerate((([wrong, right], 2), ([back], 1))):
        receipt = merged.ingest(lines(tmp_path / f"{number}.jsonl", said), actor="ada")
        assert receipt.superseding == superseding
        merged.run(actor="night")
        assert answers(merged) == [said[-1]["target"], "Marbeck", "Marbeck", "Marbeck"]


def test_what_merges_nothing_says_so(merged: Workspace) -> None:
    with pytest.raises(UsageError, match="--budget"):
        merged.merge()
    assert merged.merge(experts=100).tried == 0


def test_the_command_line_offers_what_the_policy_knows() -> None:
    assert get_args(Method) == METHODS
