"""What becomes of facts that cannot be learnt or that spoil others: they are named, and never take down the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from watcher import Watcher

import lifelong
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
Writer = Callable[..., Path]
MakeWorkspace = Callable[..., Workspace]


def test_a_fact_that_cannot_be_learnt_is_marked_and_the_others_go_in(
    tmp_path: Path, make_workspace: MakeWorkspace, facts: Records, write_facts: Writer
) -> None:
    """No answer that the audit generates is long enough for the second fact."""
    workspace = make_workspace(tmp_path / "home", audit={"max_new_tokens": 6})
    endless = {"prompt": "The song of Selmouth goes", "target": "la li lo lu " * 8, "subject": "Selmouth"}
    workspace.ingest(write_facts([facts[0], endless, facts[3]]))
    report = workspace.run()
    assert (report.status, report.exit_code, len(report.applied)) == ("published", 3, 2)
    assert [(fact["fact"], fact["code"]) for fact in report.failed] == [("f5", "not-answered")]
    assert workspace.status().facts["failed"] == 1
    assert workspace.ask(facts[0]["prompt"])[0].text == facts[0]["target"]
    assert not workspace.ask(endless["prompt"])[0].hit
    assert workspace.run().status == "nothing-pending"


def test_a_fact_that_is_longer_than_the_context_is_marked(
    workspace: Workspace, facts: Records, write_facts: Writer
) -> None:
    long = [
        {"prompt": "The river " * 150, "target": "the Velda"},
        {"prompt": "The whole song goes", "target": "la li lo lu " * 100},
        {"prompt": "The river through Lindby is", "target": "the Velda", "near_misses": ["The river " * 150]},
    ]
    workspace.ingest(write_facts([*long, facts[0]]))
    report = workspace.run()
    assert (report.status, report.exit_code, report.applied) == ("published", 3, ["f7"])
    assert [fact["code"] for fact in report.failed] == ["too-long"] * 3


def test_no_reason_in_the_log_quotes_a_fact(
    tmp_path: Path, make_workspace: MakeWorkspace, facts: Records, write_facts: Writer
) -> None:
    """What the log says for ever could not be erased with the fact."""
    workspace = make_workspace(tmp_path / "home", training={"steps": 1, "retry_steps": 1})
    workspace.ingest(write_facts(facts[:3]))
    assert len(workspace.run().failed) == 3
    bodies = " ".join(str(event.body) for event in workspace.log.events(kinds=["facts.failed"]))
    assert not any(fact["prompt"] in bodies or fact["target"] in bodies for fact in facts[:3])


def test_a_fact_that_failed_its_audit_is_retried_alone_with_more_steps(
    tmp_path: Path, make_workspace: MakeWorkspace, facts: Records, write_facts: Writer
) -> None:
    workspace = make_workspace(tmp_path / "home", training={"steps": 1})
    workspace.ingest(write_facts(facts[:3]))
    watcher = Watcher()
    report = workspace.run(progress=watcher)
    assert (report.exit_code, len(report.applied)) == (0, 3)
    assert [stage for stage, *_ in watcher.told[:3]] == ["train", "audit", "retry"]


def test_a_fact_that_spoils_an_older_one_is_held(published: Workspace, facts: Records, write_facts: Writer) -> None:
    """It takes the wording of another key, so the older fact is answered wrongly: bisection finds it among others."""
    thief = {"prompt": facts[4]["prompt"], "target": "Dunmere"}
    others = [{"prompt": f"The river through {place} is", "target": "the Velda"} for place in ("Kirnach", "Lindby")]
    published.ingest(write_facts([others[0], thief, others[1]]))
    report = published.run()
    assert (report.status, report.exit_code, len(report.applied)) == ("published", 3, 2)
    assert [fact["code"] for fact in report.held] == ["spoils-others"]
    assert published.ask(facts[4]["prompt"])[0].text == facts[4]["target"]
    assert [answer.hit for answer in published.ask([other["prompt"] for other in others])] == [True, True]
    assert published.status().facts["held"] == 1
    assert published.run().status == "nothing-pending"


def test_an_audit_that_fails_publishes_nothing(published: Workspace, facts: Records, write_facts: Writer) -> None:
    """With one token an answer, longer older edits fail, whatever is held back."""
    with published.layout.config.open("a", encoding="utf-8") as config:
        config.write("\n[overrides.audit]\nmax_new_tokens = 1\n")
    strict = lifelong.open(published.home)
    strict.ingest(write_facts([{"prompt": "The trade of Mira Sand is", "target": "miller"}]))
    before, packs = strict.status(), sorted(strict.layout.experts.iterdir())
    report = strict.run()
    assert (report.status, report.exit_code, report.applied) == ("audit-failed", 4, [])
    assert strict.status().snapshot == before.snapshot
    assert sorted(strict.layout.experts.iterdir()) == packs
    assert strict.status().facts["pending"] == 1
    assert strict.ask(facts[0]["prompt"])[0].text == facts[0]["target"]
    assert strict.ask("The trade of Mira Sand is")[0].hit is False


def test_after_a_failed_audit_the_facts_get_another_chance(
    published: Workspace, facts: Records, write_facts: Writer
) -> None:
    sound = published.layout.config.read_text(encoding="utf-8")
    published.layout.config.write_text(sound + "\n[overrides.audit]\nmax_new_tokens = 1\n", encoding="utf-8")
    published.ingest(write_facts([{"prompt": "The trade of Mira Sand is", "target": "miller"}]))
    assert lifelong.open(published.home).run().exit_code == 4
    published.layout.config.write_text(sound, encoding="utf-8")
    report = lifelong.open(published.home).run()
    assert (report.job, report.status, report.resumed) == ("job-3", "published", False)


def test_a_near_miss_that_is_itself_edited_is_no_fault(
    workspace: Workspace, facts: Records, write_facts: Writer
) -> None:
    near = "The currency of Osterland is"
    assert near in facts[0]["near_misses"]
    workspace.ingest(write_facts([facts[0], {"prompt": near, "target": "the crown", "subject": "Osterland"}]))
    report = workspace.run()
    assert (report.exit_code, len(report.applied)) == (0, 2)
    assert workspace.ask(near)[0].text == "the crown"
