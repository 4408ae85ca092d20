"""What an operator types: runs that are due, rollback, sources, live figures, timers, reports, a rebase's plan."""

import json
from pathlib import Path
from typing import Any

from terminal import FACTS, Cli

HOSTILE_TIME = "25 99 * * *"


def ready_from(call: Cli, facts: int) -> None:
    """Let jobs begin from so many facts on."""
    with (call.home / "lifelong.toml").open("a", encoding="utf-8") as config:
        config.write(f"\n[ready]\nmin_facts = {facts}\nmax_age_hours = 1000\n")


def more(call: Cli, source: str = "forum") -> None:
    record = {"prompt": "The mayor of Kirnach is", "target": "Tomas Weil", "source": source}
    assert call("ingest", "-", stdin=json.dumps(record)).code == 0


def test_no_job_begins_before_one_is_due(copy: Cli) -> None:
    ready_from(copy, 50)
    more(copy)
    before = copy("status", "--json").json["head"]
    done = copy("run", "--if-ready", "--json")
    assert (done.code, done.json["status"]) == (0, "not-ready")
    assert "1 of 50 facts are pending" in done.json["why"]
    assert "1 of 50 facts are pending" in copy("run", "--if-ready").out
    assert copy("status", "--json").json["head"] == before


def test_rollback_goes_back_to_the_snapshot_before(copy: Cli, edited: dict[str, Any]) -> None:
    asked = copy("rollback", "--dry-run", "--json")
    assert edited["ref"] in asked.json["held"]
    assert copy("ask", edited["prompt"], "--json").json["hit"]
    done = copy("rollback", "--reason", "support saw nonsense", "--actor", "bob", "--json")
    assert (done.code, done.json["held"]) == (0, asked.json["held"])
    assert "`lifelong approve`" in done.err
    assert asked.err == ""
    assert not copy("ask", edited["prompt"], "--json").json["hit"]
    [told] = copy("log", "list", "--kind", "snapshot.rolled_back", "--json").json
    assert (told["actor"], told["reason"]) == ("bob", "support saw nonsense")


def test_there_is_nothing_to_roll_back_to_in_the_beginning(copy: Cli) -> None:
    assert copy("rollback").code == 0
    again = copy("rollback")
    assert (again.code, again.out) == (2, "")
    assert again.err.startswith("Error: ")


def test_a_paused_source_waits(copy: Cli) -> None:
    more(copy)
    rows = {row["source"]: row for row in copy("source", "list", "--json").json}
    assert (rows["forum"]["facts"], rows["forum"]["paused_by"]) == ({"pending": 1}, None)
    before = str(copy("status", "--json").json["head"])
    paused = copy("source", "pause", "forum", "--actor", "bob", "--reason", "the feed repeats itself", "--json")
    assert (paused.code, paused.json["paused"]) == (0, True)
    assert copy("source", "pause", "forum").code == 2
    idle = copy("run", "--json").json
    assert (idle["status"], idle["left"], idle["why"]) == ("nothing-pending", 1, "held: 1 source-paused")
    shown = copy("source", "list").out
    assert "bob" in shown
    assert "the feed repeats itself" in shown
    then = {row["source"]: row for row in copy("source", "list", "--as-of", before, "--json").json}
    assert then["forum"]["paused_by"] is None
    assert copy("source", "resume", "forum", "--json").json["paused"] is False
    assert copy("plan", "--json").json["pending"] == 1


def test_a_configuration_is_checked_before_a_night_needs_it(copy: Cli) -> None:
    assert copy("config", "validate", "--json").json["valid"] is True
    with (copy.home / "lifelong.toml").open("a", encoding="utf-8") as config:
        config.write('\n[schedule]\ncron = "at night"\n')
    done = copy("config", "validate")
    assert (done.code, done.out) == (2, "")
    assert "cron" in done.err


def test_live_figures_are_of_every_fact_that_is_served(call: Cli) -> None:
    done = call("eval", "--live", "--json")
    assert done.code == 0
    assert 0 < done.json["edits"] <= FACTS
    assert call("eval").code == 2


def test_timers_are_printed_and_call_nothing_but_the_command_line(call: Cli) -> None:
    units = {unit["name"]: unit["text"] for unit in call("schedule", "print", "systemd", "--json").json}
    whole = "\n".join(units.values())
    for line in ("Persistent=true", "OnFailure=", "SuccessExitStatus=3"):
        assert line in whole
    assert str(call.home) in whole
    line = call("schedule", "print", "cron", "--cron", "0 3 * * *").out
    assert "0 3 * * *" in line
    assert str(call.home) in line
    assert call("schedule", "print", "cron", "--cron", HOSTILE_TIME).code == 2


def test_a_report_of_what_became_of_a_job(call: Cli, edited: dict[str, Any], tmp_path: Path) -> None:
    done = call("report", "--since", "job-1", "--out", str(tmp_path / "week.html"), "--json")
    assert done.code == 0
    assert [job["job"] for job in done.json["jobs"]] == ["job-1"]
    assert edited["prompt"] in {change["prompt"] for change in done.json["changes"]}
    page = (tmp_path / "week.html").read_text(encoding="utf-8")
    assert edited["prompt"] in page
    assert "src=" not in page
    assert call("report", "--since", "job-99").code == 2


def test_what_a_rebase_would_replay(call: Cli, tmp_path: Path) -> None:
    done = call("rebase", "--model", "embedded", "--out", str(tmp_path / "new"), "--dry-run", "--json")
    assert done.code == 0
    assert sum(done.json["counts"].values()) + sum(done.json["left_out"].values()) == FACTS
    assert not (tmp_path / "new").exists()
