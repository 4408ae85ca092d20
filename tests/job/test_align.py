"""What a recipe learns once is an expert that the log names; pending facts can be read until a job has trained them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from watcher import Watcher

import lifelong
from editlog.errors import UsageError
from lifelong.cli import main
from lifelong.editors.drill import drill, statements_in
from lifelong.editors.preparation import Corpus
from lifelong.snapshots.publishing import serving_state
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
DIALS = {"experts": {"layers": [-1]}, "method": {"rounds": 2, "lessons": 4, "steps": 3}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LIFELONG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path: Path, facts: Records) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in facts), encoding="utf-8")
    return path


@pytest.fixture
def reading(tmp_path: Path, tiny_model: Path, corpus: Path) -> Workspace:
    """A workspace of the recipe lte."""
    made = lifelong.init(tmp_path / "lte", model=str(tiny_model), recipe="lte", corpus=corpus, probe=False, actor="ada")
    with made.layout.config.open("a", encoding="utf-8") as config:
        for section, dials in DIALS.items():
            config.write(f"\n[overrides.{section}]\n")
            config.writelines(f"{dial} = {json.dumps(value)}\n" for dial, value in dials.items())
    return lifelong.open(made.home)


def test_statements_are_facts_or_sentences_cut_before_their_last_word() -> None:
    texts = [
        '{"prompt": "Osterland is ruled from", "target": "Marbeck"}',
        "The river is the Velda. More.",
        "Too short.",
        "{",
    ]
    assert statements_in(texts) == [("Osterland is ruled from", "Marbeck"), ("The river is the", "Velda")]


def test_the_drill_contradicts_in_notes_and_is_the_same_each_time(base: Any, corpus: Path) -> None:
    made = drill(base, Corpus(corpus), form="Fact: {}\n", count=8, seed=1)
    assert made.digest() == drill(base, Corpus(corpus), form="Fact: {}\n", count=8, seed=1).digest()
    assert made.digest() != drill(base, Corpus(corpus), form="Fact: {}\n", count=8, seed=2).digest()
    note, _, prompt = made.lessons[0].prompt.partition("\n")
    assert note == f"Fact: {prompt} {made.lessons[0].target}."


def test_it_is_aligned_once_and_the_log_names_the_expert(reading: Workspace) -> None:
    assert reading.align(dry_run=True).made
    assert reading.log.events(kinds=["expert.shared"]) == []
    watcher = Watcher()
    done = reading.align(actor="ada", reason="first reader", progress=watcher)
    assert watcher.told == [["align", 0, 8], ["done"]]
    (event,) = reading.log.events(kinds=["expert.shared"])
    assert (event.body["expert"], event.body["pack"], event.actor) == (done.expert, done.pack, "ada")
    assert serving_state(reading.log).packs == (done.pack,)
    assert len(reading.edited_model().bank.always) == 1
    again = reading.align()
    assert (again.made, again.expert) == (False, done.expert)
    assert reading.rebuild().identical


def test_a_killed_alignment_goes_on_to_the_same_expert(
    reading: Workspace, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifelong.editors.continual import ContinualEditor

    fit, rounds = ContinualEditor.fit, []

    def killed(self: ContinualEditor, *args: Any, **options: Any) -> Any:
        rounds.append(options.get("state"))
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return fit(self, *args, **options)

    monkeypatch.setattr(ContinualEditor, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        reading.align()
    first = reading.align().expert
    assert [state is None for state in rounds] == [True, False, False]
    monkeypatch.setenv("LIFELONG_CACHE", str(cache / "another"))
    assert reading.align(reading.corpus.path).expert == first


def test_a_job_aligns_by_itself_and_a_note_is_read_with_the_alignment(
    reading: Workspace, facts: Records, write_facts: Callable[..., Path]
) -> None:
    reading.ingest(write_facts(facts[:2]))
    reading.run()
    assert len(reading.log.events(kinds=["expert.shared"])) == 1
    assert reading.edited_model().bank.always
    assert all(check.ok for check in reading.doctor() if check.name in {"snapshot", "packs"})


def test_a_recipe_without_notes_has_nothing_to_align(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="nothing to align"):
        workspace.align()


def test_align_from_the_command_line(reading: Workspace) -> None:
    run = CliRunner().invoke(main, ["align", "--home", str(reading.home), "--dry-run", "--json"])
    assert json.loads(run.stdout) == {"expert": None, "pack": None, "made": True, "snapshot": None, "dry_run": True}


# Pending facts


def test_by_default_a_fact_takes_effect_with_the_job(workspace: Workspace, facts: Records, write_facts: Any) -> None:
    workspace.ingest(write_facts(facts[:3]))
    answer = workspace.ask(facts[0]["prompt"], max_new_tokens=4)[0]
    assert (answer.hit, answer.pending) == (False, False)


def test_a_pending_fact_is_read_at_once_until_a_job_trains_it(
    make_workspace: Callable[..., Workspace], tmp_path: Path, facts: Records, write_facts: Any, strangers: Any
) -> None:
    workspace = make_workspace(tmp_path / "home", routing={"pending": "note"})
    before = workspace.ask(facts[0]["prompt"], max_new_tokens=4)[0].text
    workspace.ingest(write_facts(facts[:3]))
    answer = workspace.ask(facts[0]["prompt"], why=True, max_new_tokens=4)[0]
    note = f"Fact: {facts[0]['prompt']} {facts[0]['target']}.\n"
    read = workspace.ask(note + facts[0]["prompt"], edits=False, max_new_tokens=4)[0].text
    assert (answer.hit, answer.pending, answer.expert, answer.job) == (True, True, None, None)
    assert (answer.text, answer.base) == (read, before)  # what the base says of the note, not the target itself

    model, prompts = workspace._asked(workspace._served(None)), [strangers[0], facts[1]["prompt"]]
    logits, plain = model.next_logits(prompts), model.next_logits(prompts, edits=False)
    assert torch.equal(logits[0], plain[0])
    assert not torch.equal(logits[1], plain[1])

    shown = CliRunner().invoke(main, ["ask", facts[0]["prompt"], "--why", "--home", str(workspace.home)]).stdout
    assert "note (not yet trained)" in shown

    workspace.retract([answer.fact or ""], reason="a mistake")
    gone = workspace.ask(facts[0]["prompt"], max_new_tokens=4)[0]
    assert (gone.hit, gone.text) == (False, before)

    workspace.run()
    trained = workspace.ask(facts[1]["prompt"], max_new_tokens=4)[0]
    assert (trained.hit, trained.pending, trained.expert is None) == (True, False, False)


def test_a_fact_that_no_job_may_take_is_not_read(
    make_workspace: Callable[..., Workspace], tmp_path: Path, facts: Records, write_facts: Any
) -> None:
    workspace = make_workspace(tmp_path / "home", routing={"pending": "note"})
    workspace.ingest(write_facts(facts[:1]))
    assert workspace.ask(facts[0]["prompt"], max_new_tokens=2)[0].pending
    workspace.pause_source("atlas")
    assert not workspace.ask(facts[0]["prompt"], max_new_tokens=2)[0].hit
