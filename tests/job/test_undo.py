"""Taking back: the answer is what it was before, everything else stays as it is, and the caches can be made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog.errors import IntegrityError, UsageError
from lifelong.files import file_sha256
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
Writer = Callable[..., Path]


def answers(workspace: Workspace, facts: Records) -> dict[str, str]:
    """What is said to every wording of the facts, edited or not."""
    wordings = [wording for fact in facts for wording in (fact["prompt"], *fact.get("rephrases", ()))]
    return {wording: workspace.ask(wording, max_new_tokens=8)[0].text for wording in wordings}


def before_editing(workspace: Workspace, prompt: str) -> str:
    return workspace.ask(prompt, edits=False, max_new_tokens=8)[0].text


def files(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): file_sha256(path) for path in directory.rglob("*") if path.is_file()}


def test_a_retracted_fact_is_answered_as_before_editing(published: Workspace, facts: Records) -> None:
    before = answers(published, facts)
    undo = published.retract(["f4"], reason="a test", actor="bob")
    assert (undo.retracted, undo.back_to_base) == (["f4"], ["f4"])
    after = answers(published, facts)
    for wording in (facts[0]["prompt"], *facts[0]["rephrases"]):
        assert after.pop(wording) == before_editing(published, wording)
        before.pop(wording)
    assert after == before
    assert published.run().status == "nothing-pending"


def test_its_wording_does_not_fall_to_a_neighbour(published: Workspace, facts: Records) -> None:
    published.retract(["f4"], reason="a test")
    explained = published.explain(facts[0]["prompt"])
    assert not explained.hit
    assert explained.anchor == facts[0]["prompt"]


def test_an_older_fact_of_the_key_answers_again(published: Workspace, facts: Records, write_facts: Writer) -> None:
    before = answers(published, facts)
    published.ingest(write_facts([{**facts[1], "target": "Kirnach"}]))
    published.run()
    newer = published.ask(facts[1]["prompt"])[0]
    assert newer.text == "Kirnach"
    undo = published.retract([newer.fact or ""], reason="a mistake")
    assert undo.answers_again == ["f5"]
    assert answers(published, facts) == before


def test_a_fact_behind_a_retracted_one_of_another_key_answers_again(
    published: Workspace, facts: Records, write_facts: Writer
) -> None:
    """Two keys can share a wording; when the later is gone the earlier says what it said before."""
    rephrase = facts[2]["rephrases"][0]
    before = answers(published, facts)
    published.ingest(write_facts([{"prompt": rephrase, "target": "Mira Sand"}]))
    assert published.run().exit_code == 0
    (later,) = published.ask(rephrase)
    assert later.text == "Mira Sand"
    published.retract([later.fact or ""], reason="a mistake")
    assert answers(published, facts) == before


def test_a_new_fact_takes_the_place_of_a_negative(published: Workspace, facts: Records, write_facts: Writer) -> None:
    published.retract(["f4"], reason="a test")
    published.ingest(write_facts([{**facts[0], "id": "again"}]))
    assert published.run().exit_code == 0
    assert published.ask(facts[0]["prompt"])[0].text == facts[0]["target"]


def test_a_job_is_reverted_whole(published: Workspace, facts: Records, write_facts: Writer) -> None:
    before = answers(published, facts)
    more = [{"prompt": "The trade of Mira Sand is", "target": "miller"}, {**facts[0], "target": "Dunmere"}]
    published.ingest(write_facts(more))
    assert published.run().job == "job-2"
    undo = published.revert(job="job-2", reason="a bad night")
    assert len(undo.retracted) == 2
    assert undo.answers_again == ["f4"]
    assert answers(published, facts) == before
    assert published.ask(more[0]["prompt"], max_new_tokens=8)[0].text == before_editing(published, more[0]["prompt"])


def test_a_source_is_reverted_whole(published: Workspace, facts: Records) -> None:
    before = answers(published, facts)
    undo = published.revert(source="atlas", reason="the atlas was wrong")
    assert len(undo.retracted) == 3
    after = answers(published, facts)
    for fact in facts:
        for wording in (fact["prompt"], *fact.get("rephrases", ())):
            expected = before_editing(published, wording) if fact.get("source") == "atlas" else before[wording]
            assert after[wording] == expected


def test_a_dry_run_of_an_undo_changes_nothing(published: Workspace) -> None:
    status = published.status()
    assert published.retract(["f4"], reason="a test", dry_run=True).back_to_base == ["f4"]
    assert published.revert(job="job-1", reason="a test", dry_run=True).snapshot is None
    assert published.rebuild(dry_run=True).identical
    assert published.status() == status


def test_what_is_not_there_cannot_be_retracted(published: Workspace) -> None:
    for refs in (["f999"], ["nonsense"]):
        with pytest.raises(UsageError):
            published.retract(refs, reason="a test")
    with pytest.raises(UsageError):
        published.revert(job="job-9", reason="a test")


@pytest.mark.parametrize("undone", [False, True], ids=["as published", "after a retraction"])
def test_the_snapshot_is_made_again_byte_for_byte(published: Workspace, facts: Records, undone: bool) -> None:
    if undone:
        published.retract(["f4", "f9"], reason="a test")
    sound, said = files(published.layout.snapshots), answers(published, facts)
    for path in list(published.layout.snapshots.rglob("*")):
        if path.is_file():
            path.unlink()
    with pytest.raises((IntegrityError, UsageError), match="lifelong rebuild"):
        lifelong.open(published.home).ask("The capital of Osterland is")
    rebuilt = lifelong.open(published.home).rebuild()
    made = files(published.layout.snapshots)
    assert made == {name: digest for name, digest in sound.items() if name in made}
    assert {f"{rebuilt.snapshot}/facts.jsonl", "CURRENT"} <= set(made)
    assert answers(lifelong.open(published.home), facts) == said


def test_a_damaged_snapshot_is_named_and_mended(published: Workspace, facts: Records) -> None:
    path = published.layout.snapshots / (published.status().snapshot or "") / "facts.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Marbeck", b"Dunmere"))
    fresh = lifelong.open(published.home)
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        fresh.ask(facts[0]["prompt"])
    assert [check.name for check in fresh.doctor() if not check.ok] == ["snapshot", "gate", "locality"]
    assert fresh.rebuild().identical
    assert fresh.ask(facts[0]["prompt"])[0].text == facts[0]["target"]


def test_a_damaged_pack_is_never_served(published: Workspace, facts: Records) -> None:
    (path,) = published.layout.experts.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    fresh = lifelong.open(published.home)
    for verb in (lambda: fresh.ask(facts[0]["prompt"]), fresh.rebuild):
        with pytest.raises(IntegrityError, match=path.name):
            verb()
