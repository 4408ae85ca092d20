"""The edit job from end to end on a tiny model: ingest, plan, run, ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog.errors import Busy, UsageError
from lifelong.jobs.progress import Silent
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
Writer = Callable[..., Path]


def test_a_dozen_facts_from_file_to_answer(workspace: Workspace, facts: Records, write_facts: Writer) -> None:
    receipt = workspace.ingest(write_facts(facts), actor="ada")
    assert (receipt.accepted, receipt.rejected) == (12, 0)
    plan = workspace.plan()
    assert (plan.pending, plan.experts) == (12, 12)
    report = workspace.run(actor="bob", reason="nightly")
    assert (report.job, report.status, len(report.applied), report.exit_code) == ("job-1", "published", 12, 0)
    assert report.to_dict()["reliability"]["exact"] == 1.0
    answers = workspace.ask([fact["prompt"] for fact in facts])
    assert [answer.text for answer in answers] == [fact["target"] for fact in facts]
    assert {answer.job for answer in answers} == {"job-1"}


def test_the_same_again_changes_nothing(published: Workspace, facts: Records, write_facts: Writer) -> None:
    head = published.log.head()
    receipt = published.ingest(write_facts(facts))
    assert (receipt.accepted, receipt.duplicate) == (0, 12)
    assert published.run().status == "nothing-pending"
    assert published.log.head() == head


def test_strangers_get_the_answer_of_the_base(published: Workspace, facts: Records, strangers: tuple[str, ...]) -> None:
    near_misses = [near for fact in facts for near in fact.get("near_misses", ())]
    prompts = [*strangers, *near_misses]
    edited = published.ask(prompts, max_new_tokens=8)
    assert not any(answer.hit for answer in edited)
    assert [a.text for a in edited] == [a.text for a in published.ask(prompts, edits=False, max_new_tokens=8)]


def test_hits_and_misses_share_a_batch(published: Workspace, facts: Records, strangers: tuple[str, ...]) -> None:
    mixed = [text for pair in zip(strangers, (fact["prompt"] for fact in facts), strict=False) for text in pair]
    together = published.ask(mixed, max_new_tokens=8)
    assert [answer.hit for answer in together] == [False, True] * 4
    assert [answer.text for answer in together] == [published.ask(text, max_new_tokens=8)[0].text for text in mixed]


def test_ask_says_why(published: Workspace, facts: Records) -> None:
    (answer,) = published.ask(facts[0]["prompt"], why=True)
    assert answer.hit
    assert (answer.fact, answer.author, answer.actor, answer.job) == ("f4", "ada", "ada", "job-1")
    assert answer.expert in {row.hash for row in published.experts()}
    assert answer.base == published.ask(facts[0]["prompt"], edits=False)[0].text != answer.text


def test_answers_can_be_streamed(published: Workspace, facts: Records, strangers: tuple[str, ...]) -> None:
    assert "".join(published.stream(facts[3]["prompt"])).strip() == facts[3]["target"]
    plain = published.ask(strangers[0], edits=False, max_new_tokens=8)[0].text
    assert "".join(published.stream(strangers[0], max_new_tokens=8)).strip() == plain


def test_generation_options_are_passed_on(published: Workspace, facts: Records, strangers: tuple[str, ...]) -> None:
    asked = [facts[0]["prompt"], strangers[0], facts[1]["prompt"]]
    answers = published.ask(asked, num_beams=2, num_return_sequences=2, max_new_tokens=6)
    assert [answer.prompt for answer in answers] == [prompt for prompt in asked for _ in range(2)]
    assert answers[0].text == facts[0]["target"]
    assert answers[4].text == facts[1]["target"]


def test_an_empty_prompt_is_refused(published: Workspace, facts: Records) -> None:
    with pytest.raises(UsageError, match="empty"):
        published.ask([facts[0]["prompt"], ""])
    assert published.ask([]) == []


def test_blame_names_everything_behind_an_answer(published: Workspace, facts: Records) -> None:
    blame = published.blame(facts[6]["rephrases"][0])
    assert blame.hit
    assert blame.record is not None
    assert blame.record["prompt"] == facts[6]["prompt"]
    assert blame.job == "job-1"
    kinds = [event["kind"] for event in blame.events]
    assert kinds[0] == "fact.put"
    assert set(kinds) == {"fact.put", "job.started", "facts.applied", "job.audited", "job.finished"}
    assert not published.blame("He was born in a small town and").hit


def test_everything_is_in_order_afterwards(published: Workspace) -> None:
    assert [check.detail for check in published.doctor() if not check.ok] == []
    status = published.status()
    assert (status.facts["applied"], status.experts, status.snapshot_behind) == (12, 12, False)
    assert status.oldest_pending_seconds is None


def test_a_dry_run_changes_nothing(workspace: Workspace, facts: Records, write_facts: Writer) -> None:
    workspace.ingest(write_facts(facts[:2]))
    head = workspace.log.head()
    report = workspace.run(dry_run=True)
    assert (report.status, report.to_dict()["edits"]) == ("dry-run", 2)
    assert workspace.log.head() == head


def test_a_correction_of_a_correction(published: Workspace, facts: Records, write_facts: Writer) -> None:
    receipt = published.ingest(write_facts([{**facts[0], "target": "Dunmere", "rephrases": []}]))
    assert receipt.superseding == 1
    assert published.ask(facts[0]["prompt"])[0].text == facts[0]["target"]
    assert published.run().exit_code == 0
    assert published.ask(facts[0]["prompt"])[0].text == "Dunmere"


def test_what_is_superseded_before_it_is_trained_is_dropped(
    workspace: Workspace, facts: Records, write_facts: Writer
) -> None:
    workspace.ingest(write_facts([facts[1], {**facts[1], "target": "Kirnach"}]))
    assert workspace.plan().experts == 1
    assert len(workspace.run().applied) == 1
    assert workspace.ask(facts[1]["prompt"])[0].text == "Kirnach"


def test_one_job_at_a_time(published: Workspace) -> None:
    other = lifelong.open(published.home)
    with published.job_lock():
        for verb in (other.run, lambda: other.retract(["f4"], reason="x"), other.rebuild):
            with pytest.raises(Busy, match="another job"):
                verb()
    assert other.run().status == "nothing-pending"


def test_facts_may_come_in_while_a_job_runs(workspace: Workspace, facts: Records, write_facts: Writer) -> None:
    workspace.ingest(write_facts(facts[:2]))
    late = write_facts(facts[2:4], "late.jsonl")

    class Meanwhile(Silent):
        def stage(self, name: str, total: int) -> None:
            if name == "audit":
                lifelong.open(workspace.home).ingest(late)

    assert len(workspace.run(progress=Meanwhile()).applied) == 2
    assert workspace.status().facts["pending"] == 2
    assert len(workspace.run().applied) == 2


def test_validity_is_honoured_without_a_job(workspace: Workspace, facts: Records, write_facts: Writer) -> None:
    future = {**facts[1], "target": "Kirnach", "valid_from": "2040-01-01T00:00:00Z", "valid_to": "2050-01-01T00:00:00Z"}
    past = {**facts[5], "valid_to": "2001-01-01T00:00:00Z"}
    workspace.ingest(write_facts([facts[1], future, past]))
    assert workspace.run().exit_code == 0

    def said(prompt: str, year: int) -> str | None:
        (answer,) = workspace.ask(prompt, valid_at=datetime(year, 6, 1, tzinfo=UTC))
        return answer.text if answer.hit else None

    assert [said(facts[1]["prompt"], year) for year in (2030, 2045, 2055)] == ["Selmouth", "Kirnach", "Selmouth"]
    assert [said(facts[5]["prompt"], year) for year in (2000, 2030)] == [facts[5]["target"], None]
    assert [check.detail for check in workspace.doctor() if not check.ok] == []
    workspace.ingest(write_facts([facts[0]], "more.jsonl"))
    assert workspace.run().to_dict()["retention"]["exact"] == 1.0
