"""After a real job: its page, the monitor's file and the hooks; and a page forgets what was redacted."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import lifelong
from editlog.errors import UsageError
from lifelong.workspace import Workspace

WORDS = ("The trade of Mira Sand is", "miller")
HEAD = 'prometheus = "lifelong.prom"\n'
HOOKS = "".join(f'\n[hooks.{name}]\ncommand = ["sh", "-c", "cat >> {name}.jsonl"]\n' for name in ("success", "failure"))


def told(home: Path, hook: str) -> list[dict[str, Any]]:
    """What a hook was told, message after message; each is one JSON object."""
    path = home / f"{hook}.jsonl"
    text, found, decoder = path.read_text(encoding="utf-8") if path.exists() else "", [], json.JSONDecoder()
    while text.strip():
        message, end = decoder.raw_decode(text)
        found.append(message)
        text = text[end:].lstrip()
    return found


@pytest.fixture(scope="module")
def told_home(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose second job, of one fact, was told to everybody there is."""
    home = tmp_path_factory.mktemp("told") / "home"
    shutil.copytree(published_home, home)
    config = home / "lifelong.toml"
    config.write_text(HEAD + config.read_text(encoding="utf-8") + HOOKS, encoding="utf-8")
    fact = home.parent / "fact.json"
    fact.write_text(json.dumps({"prompt": WORDS[0], "target": WORDS[1], "source": "forum"}) + "\n", encoding="utf-8")
    workspace = lifelong.open(home)
    workspace.ingest(fact)
    assert workspace.run(dry_run=True).status == "dry-run"
    assert told(home, "success") == []
    assert workspace.run(actor="night").exit_code == 0
    return home


@pytest.fixture
def workspace(told_home: Path, tmp_path: Path) -> Workspace:
    return lifelong.open(shutil.copytree(told_home, tmp_path / "home"))


def test_a_job_leaves_a_page_figures_and_a_message(told_home: Path) -> None:
    page = (told_home / "runs" / "job-2" / "report.html").read_text(encoding="utf-8")
    assert WORDS[0] in page
    assert "<script" not in page
    figures = (told_home / "lifelong.prom").read_text(encoding="utf-8")
    assert 'status="applied"' in figures
    assert "lifelong_last_job" in figures
    [message] = told(told_home, "success")
    assert (message["job"], message["status"], message["exit_code"]) == ("job-2", "published", 0)
    assert (message["applied"], message["failed"], message["home"]) == (1, 0, str(told_home))
    assert WORDS[1] not in json.dumps(message), "a message quotes no fact"
    assert told(told_home, "failure") == []


@pytest.mark.parametrize(
    ("error", "said"),
    [(UsageError("there is no model there"), "there is no model there"), (ValueError(WORDS[1]), None)],
)
def test_a_job_that_ends_by_an_error_tells_those_who_hear_of_failures(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str | None
) -> None:
    from lifelong.jobs import running

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(running, "run", failing)
    before = told(workspace.home, "success")
    with pytest.raises(type(error)):
        workspace.run()
    [message] = told(workspace.home, "failure")
    assert (message["status"], message["error"]) == ("error", said or "ValueError")
    assert told(workspace.home, "success") == before


def test_what_cannot_be_told_is_a_warning_and_no_failure(
    workspace: Workspace, facts: Sequence[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    (workspace.home / "lifelong.prom").unlink()
    (workspace.home / "lifelong.prom").mkdir()
    with caplog.at_level(logging.WARNING):
        assert workspace.run().status == "nothing-pending"
    assert "the monitor's file was not written" in caplog.text


def test_pages_forget_what_was_redacted(workspace: Workspace, facts: Sequence[dict[str, Any]]) -> None:
    first, second = (workspace.layout.runs / job / "report.html" for job in ("job-1", "job-2"))
    untouched = first.read_text(encoding="utf-8")
    ref = next(logged.ref for logged in workspace.log.facts() if logged.fact.prompt == WORDS[0])
    workspace.redact([ref], reason="a request of 20 November", actor="dpo")
    page = second.read_text(encoding="utf-8")
    assert WORDS[0] not in page
    assert "told of a redacted fact" in page
    assert facts[0]["prompt"] in untouched
    assert first.read_text(encoding="utf-8") == untouched
    anew = workspace.home / "anew.html"
    workspace.report("job-2", out=anew)
    assert WORDS[0] not in anew.read_text(encoding="utf-8")
