"""With a response log, every answer is recorded before it is given; without one, nothing is."""

from pathlib import Path
from typing import Any

import pytest
from terminal import Cli

import lifelong
from editlog.errors import LifelongError


@pytest.fixture
def logging_home(copy: Cli) -> Cli:
    """A copy of the workspace that keeps a response log."""
    config = copy.home / "lifelong.toml"
    config.write_text(f"response_log = true\n{config.read_text(encoding='utf-8')}", encoding="utf-8")
    return copy


def told(call: Cli) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = call("log", "query", "FROM responses", "--json").json
    return rows


def test_what_was_told_to_whom_under_which_fact(logging_home: Cli, edited: dict[str, Any]) -> None:
    prompts = (edited["prompt"], "The weather in Dunmere was")
    answers = logging_home("ask", *prompts, "--user", "kiosk-7", "--request-id", "r-1", "--json").json
    streamed = logging_home("ask", edited["prompt"], "--stream").out.strip()
    hit, miss, stream = told(logging_home)
    assert (hit["prompt"], hit["answer"], hit["fact"]) == (edited["prompt"], answers[0]["text"], edited["ref"])
    assert (hit["told_to"], hit["request_id"], hit["expert"]) == ("kiosk-7", "r-1", answers[0]["expert"])
    assert (miss["fact"], miss["request_id"]) == (None, "r-1")
    assert (stream["answer"], stream["told_to"], stream["fact"]) == (streamed, None, edited["ref"])


def test_an_answer_that_cannot_be_recorded_is_not_given(logging_home: Cli, edited: dict[str, Any]) -> None:
    (logging_home.home / "log" / "responses").write_text("in the way", encoding="utf-8")
    done = logging_home("ask", edited["prompt"])
    assert (done.code, done.out) == (1, "")
    assert "no answer is given" in done.err
    with pytest.raises(LifelongError):
        lifelong.open(logging_home.home).ask(edited["prompt"])


def test_a_redacted_fact_is_forgotten_here_too(logging_home: Cli, edited: dict[str, Any]) -> None:
    logging_home("ask", edited["prompt"], "The weather in Dunmere was")
    assert logging_home("log", "redact", edited["ref"], "--reason", "court order").code == 0
    assert [row["prompt"] for row in told(logging_home)] == ["The weather in Dunmere was"]


def test_it_is_off_unless_asked_for(copy: Cli, edited: dict[str, Any]) -> None:
    copy("ask", edited["prompt"], "--user", "kiosk-7")
    assert told(copy) == []
    assert not Path(copy.home / "log" / "responses").exists()
