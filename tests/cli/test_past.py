"""Looking back: every verb that reads takes --as-of (the log's time) and --valid-at (the world's)."""

import json
from pathlib import Path
from typing import Any

import pytest
from terminal import Cli

PROMPT = "The currency of Osterland is"


@pytest.fixture(scope="module")
def past(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, dict[str, Any]]:
    """A dozen facts applied by job-1; then one superseded by job-2, one retracted, one put that holds from 2030."""
    import shutil

    call = Cli(shutil.copytree(published_home, tmp_path_factory.mktemp("past") / "home"))
    record = {"prompt": "Paul Finch plays the", "target": "violin", "subject": "Paul Finch", "relation": "instrument"}
    assert call("ingest", "-", "--actor", "eva", stdin=json.dumps(record)).code == 0
    assert call("run", "--actor", "night").code == 0
    [retracted] = [fact for fact in facts_of(call) if fact["prompt"] == "Bruno Hale lives in"]
    assert call("retract", retracted["fact"], "--reason", "he moved", "--actor", "bob").code == 0
    later = {"prompt": PROMPT, "target": "the florin", "valid_from": "2030-01-01T00:00:00Z"}
    assert call("ingest", "-", "--actor", "eva", stdin=json.dumps(later)).code == 0
    return call, retracted


def facts_of(call: Cli, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = call("log", "query", "FROM facts ORDER BY seq", "--json", *options).json
    return rows


def test_ask_answers_as_it_did_then_and_says_so(past: tuple[Cli, dict[str, Any]]) -> None:
    call, _ = past
    now = call("ask", "Paul Finch plays the", "--json").json
    then = call("ask", "Paul Finch plays the", "--json", "--as-of", "job-1")
    assert (now["text"], now["as_of"]) == ("violin", None)
    assert then.json["text"] == "crown"
    assert f"As of event {then.json['as_of']}" in then.err
    assert call("ask", "Paul Finch plays the", "--stream", "--as-of", "job-1").out.strip() == "crown"


def test_a_position_is_an_event_a_job_or_a_moment(past: tuple[Cli, dict[str, Any]]) -> None:
    call, _ = past
    [applied] = call("log", "list", "--kind", "facts.applied", "--job", "job-1", "--json").json
    for as_of in ("job-1", applied["at"], str(applied["seq"] + 1)):
        assert call("ask", "Paul Finch plays the", "--as-of", as_of).out.strip() == "crown"


def test_every_reading_verb_looks_back(past: tuple[Cli, dict[str, Any]]) -> None:
    call, retracted = past
    then = ("--as-of", "job-1", "--json")
    ref = retracted["fact"]
    assert (call("fact", "show", ref, "--json").json["status"], call("fact", "show", ref, *then).json["status"]) == (
        "retracted",
        "applied",
    )
    happened = [row["what"] for row in call("fact", "history", ref, *then).json]
    assert happened == ["ingested", "planned", "audited", "applied", "published"]
    assert call("status", *then).json["facts"]["applied"] == 12
    assert call("status", *then).json["last_job"]["job"] == "job-1"
    assert {row["job"] for row in call("experts", "list", *then).json} == {"job-1"}
    assert {row["job"] for row in call("experts", "list", "--json").json} == {"job-1", "job-2"}
    assert call("log", "list", "--limit", "1", *then).json[0]["kind"] == "job.finished"
    assert call("blame", "Bruno Hale lives in", *then).json["fact"] == ref
    assert call("blame", "Bruno Hale lives in", "--json").json["fact"] is None
    assert call("route", "explain", "Bruno Hale lives in", *then).json["hit"]
    assert len(facts_of(call, "--as-of", "job-1")) == 12


def test_what_holds_in_the_world_is_asked_apart(past: tuple[Cli, dict[str, Any]]) -> None:
    call, _ = past
    later = ("--valid-at", "2031-01-01", "--json")
    [florin] = [fact for fact in facts_of(call) if fact["prompt"] == PROMPT]
    assert not florin["holds"]
    assert [fact["holds"] for fact in facts_of(call, *later) if fact["prompt"] == PROMPT] == [True]
    ref = florin["fact"]
    assert (call("fact", "show", ref, "--json").json["holds"], call("fact", "show", ref, *later).json["holds"]) == (
        False,
        True,
    )
    assert call("fact", "history", ref, "--valid-at", "2029-01-01", "--json").json == []
    assert call("log", "show", ref[1:], *later).json["holds"]
    before = call("log", "list", "--kind", "fact.put", "--valid-at", "2029-01-01", "--json").json
    assert int(ref[1:]) not in {event["seq"] for event in before}
    assert call("status", *later).json["facts"]["pending"] == 1
    assert call("status", "--valid-at", "2029-01-01", "--json").json["facts"]["pending"] == 0


def test_an_expert_is_shown_with_what_it_holds_in_use_or_not(past: tuple[Cli, dict[str, Any]]) -> None:
    call, retracted = past
    found = call("experts", "show", retracted["expert"], "--json").json
    assert found["status"] == "idle"
    assert [(fact["fact"], fact["status"]) for fact in found["facts"]] == [(retracted["fact"], "retracted")]
    then = call("experts", "show", retracted["expert"], "--as-of", "job-1", "--json").json
    assert (then["status"], then["facts"][0]["status"]) == ("in use", "applied")
    assert retracted["fact"] in call("experts", "show", retracted["expert"][7:20]).out


def test_blame_names_the_person_the_source_and_the_effect(past: tuple[Cli, dict[str, Any]]) -> None:
    call, _ = past
    found = call("blame", "Paul Finch plays the", "--json").json
    assert (found["who"]["actor"], found["effect"]["answers"], found["job"]) == ("eva", "violin", "job-2")
    assert found["effect"]["without_it"] == "crown"
    first = call("blame", "Osterland is governed from", "--json").json
    assert (first["who"]["author"], first["who"]["source"], first["effect"]["without_it"]) == ("ada", "atlas", None)
    assert "without it" in call("blame", "Paul Finch plays the").out


def test_log_diff_tells_which_answers_changed(past: tuple[Cli, dict[str, Any]]) -> None:
    call, retracted = past
    found = call("log", "diff", "--from", "job-1", "--json").json
    changed = {one["prompt"]: (one["was"], one["is_now"]) for one in found["answers"]}
    assert changed == {"Paul Finch plays the": ("crown", "violin"), retracted["prompt"]: ("Corvale", None)}
    shown = call("log", "diff", "--from", "job-1").out
    assert "added 2, superseded 1, retracted 1" in shown
    assert "fact.retracted" in shown


@pytest.mark.parametrize("as_of", ["0", "99999", "job-9", "1970-01-01", "yesterday"])
def test_a_position_that_is_not_there_is_one_sentence(past: tuple[Cli, dict[str, Any]], as_of: str) -> None:
    done = past[0]("ask", "Paul Finch plays the", "--as-of", as_of)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1


def test_a_snapshot_that_is_gone_is_not_made_up(past: tuple[Cli, dict[str, Any]], tmp_path: Path) -> None:
    import shutil

    call = Cli(shutil.copytree(past[0].home, tmp_path / "copy"))
    current = (call.home / "snapshots" / "CURRENT").read_text().strip()
    for snapshot in (call.home / "snapshots").iterdir():
        if snapshot.is_dir() and snapshot.name != current:
            shutil.rmtree(snapshot)
    done = call("ask", "Paul Finch plays the", "--as-of", "job-1")
    assert (done.code, done.out) == (2, "")
    assert "is not kept any more" in done.err
