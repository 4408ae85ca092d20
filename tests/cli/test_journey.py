"""The life of a correction, as someone at a terminal sees it."""

import json
from pathlib import Path
from typing import Any

from terminal import FACTS, Cli

KEYS_OF_METRICS = {
    "edits", "recipe", "model", "reliability", "generality", "oracle", "locality", "portability", "retention",
    "router", "governed_probes", "seconds_per_edit", "bytes_per_edit", "peak_mb", "counts",
}  # fmt: skip
LIFE = {"fact.put", "job.started", "facts.applied", "job.audited", "job.finished"}


def test_an_edited_prompt_gets_its_target(call: Cli, edited: dict[str, Any]) -> None:
    assert call("ask", edited["prompt"]).out == edited["target"] + "\n"


def test_without_edits_the_base_answers(call: Cli, edited: dict[str, Any]) -> None:
    assert call("ask", edited["prompt"], "--no-edits").out != edited["target"] + "\n"


def test_why_tells_fact_expert_job_and_author_and_what_the_base_says(call: Cli, edited: dict[str, Any]) -> None:
    answer = call("ask", edited["prompt"], "--json").json
    assert (answer["hit"], answer["fact"], answer["job"], answer["actor"]) == (
        True,
        edited["ref"],
        "job-1",
        "ada",
    )
    assert answer["author"] == edited["author"]
    assert answer["expert"].startswith("sha256:")
    assert answer["base"] == call("ask", edited["prompt"], "--no-edits").out.strip()
    shown = call("ask", edited["prompt"], "--why").out
    assert edited["ref"] in shown
    assert "job-1" in shown


def test_a_prompt_out_of_scope_is_a_miss_and_gets_the_base(call: Cli) -> None:
    prompt = "A recipe for bread begins with"
    answer = call("ask", prompt, "--json").json
    assert not answer["hit"]
    assert answer["fact"] is None
    assert answer["text"] == answer["base"]


def test_several_prompts_and_standard_input_give_a_list(call: Cli, edited: dict[str, Any]) -> None:
    prompt = edited["prompt"]
    assert len(call("ask", prompt, "Bread is", "--json").json) == 2
    assert [one["prompt"] for one in call("ask", "-", "--json", stdin=f"{prompt}\n\n").json] == [prompt]


def test_a_stream_spells_the_same_answer(call: Cli, edited: dict[str, Any]) -> None:
    assert call("ask", edited["prompt"], "--stream").out.strip() == edited["target"]


def test_blame_leads_back_to_the_event_and_the_words(call: Cli, edited: dict[str, Any]) -> None:
    found = call("blame", edited["prompt"], "--json").json
    assert (found["fact"], found["job"]) == (edited["ref"], "job-1")
    assert found["record"]["target"] == edited["target"]
    assert {event["kind"] for event in found["events"]} == LIFE
    assert [event["actor"] for event in found["events"]] == ["ada", *["night"] * (len(LIFE) - 1)]
    assert found["events"][0]["reason"] == "a first dozen"
    assert edited["target"] in call("blame", edited["prompt"]).out


def test_route_explain_shows_the_nearest_anchor_on_a_hit_and_on_a_miss(call: Cli, edited: dict[str, Any]) -> None:
    hit = call("route", "explain", edited["prompt"], "--json").json
    assert (hit["hit"], hit["fact"]) == (True, edited["ref"])
    assert hit["candidates"][0]["fact"] == edited["ref"]
    miss = call("route", "explain", "A recipe for bread begins with", "--json").json
    assert (miss["hit"], miss["fact"]) == (False, None)
    assert "miss" in call("route", "explain", "A recipe for bread begins with").out


def test_retract_gives_the_old_answer_back_and_leaves_the_others(copy: Cli, edited: dict[str, Any]) -> None:
    others = [row["facts"][0] for row in copy("experts", "list", "--json").json if row["facts"] != [edited["ref"]]]
    prompts = [copy("fact", "show", ref, "--json").json["record"]["prompt"] for ref in others]
    before = [(one["text"], one["fact"]) for one in copy("ask", *prompts, "--json").json] if prompts else []
    base = copy("ask", edited["prompt"], "--no-edits").out

    undo = copy("retract", edited["ref"], "--reason", "a test takes it back", "--actor", "bob", "--json").json

    assert undo["retracted"] == undo["back_to_base"] == [edited["ref"]]
    assert copy("ask", edited["prompt"]).out == base
    assert not prompts or [(one["text"], one["fact"]) for one in copy("ask", *prompts, "--json").json] == before
    event = copy("log", "list", "--kind", "fact.retracted", "--json").json[0]
    assert (event["actor"], event["reason"]) == ("bob", "a test takes it back")
    assert copy("fact", "show", edited["ref"], "--json").json["status"] == "retracted"


def test_revert_takes_a_whole_job_or_source_back(copy: Cli, edited: dict[str, Any]) -> None:
    would = copy("revert", "--source", edited["source"], "--dry-run", "--json").json
    assert would["dry_run"]
    undo = copy("revert", "job-1", "--reason", "the wrong file", "--json").json
    assert edited["ref"] in undo["retracted"]
    assert copy("experts", "list", "--json").json == []
    assert not copy("ask", edited["prompt"], "--json").json["hit"]


def test_a_dry_run_changes_nothing(copy: Cli, edited: dict[str, Any]) -> None:
    record = json.dumps({"prompt": "The sky is", "target": "green"})
    before = copy("log", "export").out
    copy("ingest", "-", "--dry-run", stdin=record)
    copy("retract", edited["ref"], "--dry-run")
    copy("revert", "job-1", "--dry-run")
    copy("run", "--dry-run")
    copy("rebuild", "--dry-run")
    assert copy("log", "export").out == before
    assert copy("ask", edited["prompt"]).out == edited["target"] + "\n"


def test_rebuild_makes_the_same_snapshot_again(copy: Cli, edited: dict[str, Any]) -> None:
    rebuilt = copy("rebuild", "--json").json
    assert rebuilt["identical"]
    assert rebuilt["snapshot"] == rebuilt["was"]
    assert copy("ask", edited["prompt"]).out == edited["target"] + "\n"


def test_plan_and_status_tell_what_is_pending(copy: Cli) -> None:
    copy("ingest", "-", stdin=json.dumps({"prompt": "The sky is", "target": "green"}))
    assert copy("plan", "--json").json["pending"] == 1
    status = copy("status", "--json").json
    assert status["facts"]["pending"] == 1
    assert status["oldest_pending_seconds"] >= 0
    assert "1 fact" in copy("plan").out
    assert "ago" in copy("status").out


def test_run_with_nothing_pending_says_so(call: Cli) -> None:
    done = call("run", "--json")
    assert (done.code, done.json["status"]) == (0, "nothing-pending")
    assert call("run").out == "Nothing is pending.\n"
    assert call("plan").out == "Nothing is pending.\n"


def test_run_reports_in_the_metrics_form(call: Cli, home: Path) -> None:
    report = json.loads((home / "runs" / "job-1" / "report.json").read_text(encoding="utf-8"))
    assert set(report) >= KEYS_OF_METRICS
    assert set(call("run", "--json").json) == set(report)
    assert report["edits"] == report["applied"] + len(report["failed"]) + len(report["held"]) == FACTS


def test_the_log_is_listed_shown_verified_and_exported(call: Cli, tmp_path: Path) -> None:
    newest, before = call("log", "list", "--limit", "2", "--json").json
    assert newest["seq"] == before["seq"] + 1
    assert call("log", "show", str(newest["seq"]), "--json").json == newest
    assert call("log", "verify", "--json").json == {"intact": True, "findings": [], "redacted": []}
    assert call("log", "export", str(tmp_path / "events.jsonl")).code == 0
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == newest["seq"]
    assert json.loads(lines[-1])["hash"] == newest["hash"]
    assert call("log", "export").out.splitlines() == lines


def test_a_fact_has_a_history(call: Cli, edited: dict[str, Any]) -> None:
    kinds = [one["kind"] for one in call("fact", "history", edited["ref"], "--json").json]
    assert kinds[0] == "fact.put"
    assert set(kinds) == LIFE
    about = call("fact", "history", "--subject", edited["subject"].upper(), "--json").json
    assert edited["ref"] in {one["fact"] for one in about}


def test_experts_recipes_config_and_doctor(call: Cli, edited: dict[str, Any]) -> None:
    rows = call("experts", "list", "--json").json
    mine = next(row for row in rows if edited["ref"] in row["facts"])
    shown = call("experts", "show", mine["hash"].removeprefix("sha256:")[:16], "--json").json
    assert (shown["hash"], [fact["fact"] for fact in shown["facts"]]) == (mine["hash"], mine["facts"])
    assert "default" in [row["name"] for row in call("recipes", "list", "--json").json]
    dials = call("recipes", "show", "default", "--json").json
    assert call("config", "show", "--json").json["recipe"] == dials
    assert all(check["ok"] for check in call("doctor", "--json").json)


def test_an_expert_leaves_as_a_peft_directory(call: Cli, edited: dict[str, Any], tmp_path: Path) -> None:
    [directory] = call("export", "peft", str(tmp_path / "out"), "--fact", edited["ref"], "--json").json
    assert {path.name for path in Path(directory).iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_eval_measures_on_the_probes_of_a_file(call: Cli, edited: dict[str, Any], tmp_path: Path) -> None:
    record = {name: value for name, value in edited.items() if name != "ref"}
    file = tmp_path / "probes.jsonl"
    file.write_text(json.dumps(record | {"probes": {"generality": edited["rephrases"][:1]}}), encoding="utf-8")
    measured = call("eval", str(file), "--json")
    assert measured.code == 0
    assert set(measured.json) == KEYS_OF_METRICS
    assert measured.json["reliability"]["exact"] == 1.0
