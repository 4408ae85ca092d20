"""What scripts rely on: exit codes, one sentence on stderr, nothing but JSON on stdout."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal import ROOT, Cli

import lifelong
from lifelong.jobs.report import idle_report
from lifelong.workspace import Workspace


def sentence(err: str) -> str:
    """The one line an error consists of."""
    [line] = err.strip().splitlines()
    assert line.startswith("Error: ")
    assert "Traceback" not in err
    return line


def test_2_no_workspace(tmp_path: Path) -> None:
    done = Cli(tmp_path / "nowhere")("status")
    assert (done.code, done.out) == (2, "")
    assert "lifelong init" in sentence(done.err)


@pytest.mark.parametrize(
    "words",
    [
        ["fact", "show", "f99999"],
        ["log", "show", "99999"],
        ["experts", "show", "00000000"],
        ["recipes", "show", "nothing"],
        ["retract", "f99999", "--reason", "none"],
        ["init"],
    ],
    ids=" ".join,
)
def test_2_what_is_asked_for_is_not_there(call: Cli, words: list[str]) -> None:
    done = call(*words)
    assert (done.code, done.out) == (2, "")
    sentence(done.err)


@pytest.mark.parametrize(
    "words",
    ["nothing", "run --executor moon", "revert", "ask", "ingest no/such/file", "eval no/such/file"],
)
def test_2_usage(call: Cli, words: str) -> None:
    done = call(*words.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: ")


def test_3_good_lines_go_in_and_rejects_are_written_down(copy: Cli) -> None:
    lines = '{"prompt": "The sky is", "target": "green"}\nnot json\n{"prompt": 1}'
    done = copy("ingest", "-", "--json", stdin=lines)
    assert done.code == 3
    assert (done.json["accepted"], done.json["rejected"]) == (1, 2)
    assert done.json["rejects_file"] in sentence(done.err)
    rejects = [json.loads(line) for line in Path(done.json["rejects_file"]).read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [2, 3]
    assert all(reject["code"] and reject["reason"] for reject in rejects)


def test_0_the_same_file_twice_changes_nothing(copy: Cli, records: list[dict[str, Any]]) -> None:
    before = copy("log", "export").out
    done = copy("ingest", "-", "--json", stdin="\n".join(map(json.dumps, records)))
    assert (done.code, done.json["accepted"], done.json["duplicate"]) == (0, 0, len(records))
    assert copy("log", "export").out == before


def test_4_nothing_is_published_where_the_audit_fails(call: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    report = idle_report("nothing-pending", "default", "embedded")
    monkeypatch.setattr(type(report), "exit_code", 4)
    monkeypatch.setattr(Workspace, "run", lambda *_, **__: report)
    assert call("run", "--json").code == 4


def test_6_a_damaged_log_is_not_read(copy: Cli) -> None:
    head = copy.home / "log" / "HEAD"
    head.write_bytes(head.read_bytes().replace(b"sha256:", b"sha256:0", 1))
    done = copy("log", "verify")
    assert (done.code, done.out) == (6, "")
    sentence(done.err)


def test_6_doctor_names_the_check_that_failed(copy: Cli) -> None:
    for pack in (copy.home / "experts").iterdir():
        pack.write_bytes(pack.read_bytes()[:-1] + b"\x01")
    done = copy("doctor", "--json")
    assert done.code == 6
    assert not {check["name"]: check["ok"] for check in done.json}["packs"]
    assert "packs" in sentence(done.err)


def test_75_one_job_at_a_time(copy: Cli, edited: dict[str, Any]) -> None:
    with lifelong.open(copy.home).job_lock():
        done = copy("retract", edited["ref"], "--reason", "busy")
    assert (done.code, done.out) == (75, "")
    assert "try again" in sentence(done.err)


def test_130_an_interrupt_is_not_a_traceback(call: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "status", interrupted)
    done = call("status")
    assert (done.code, done.out) == (130, "")
    sentence(done.err)


def test_a_file_that_cannot_be_written_is_one_sentence(call: Cli, tmp_path: Path) -> None:
    done = call("log", "export", str(tmp_path / "no" / "such" / "folder"))
    assert done.code == 1
    assert "No such file" in sentence(done.err)


READERS = [
    "status", "log list", "log verify", "fact show f4", "fact history f4", "experts list", "recipes list",
    "recipes show default", "config show", "config validate", "plan", "run --dry-run",
]  # fmt: skip


@pytest.mark.parametrize("words", READERS)
def test_json_is_all_there_is_on_stdout_and_text_has_no_colour(call: Cli, words: str) -> None:
    assert isinstance(call(*words.split(), "--json").json, (dict, list))
    shown = call(*words.split()).out
    assert shown.strip()
    assert "\x1b" not in shown


def test_home_comes_from_the_environment_too(home: Path) -> None:
    words = [sys.executable, "-m", "lifelong", "config", "show", "--json"]
    environment = os.environ | {"LIFELONG_HOME": str(home)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    assert json.loads(done.stdout)["home"] == str(home)


def test_a_reader_that_leaves_is_no_error_to_talk_about(home: Path) -> None:
    words = f"{sys.executable} -m lifelong --home {home} log export | head -n 1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)
    assert done.stderr == ""


def test_version_and_help() -> None:
    cli = Cli(Path("nowhere"))
    assert cli("--version").out == f"lifelong {lifelong.__version__}\n"
    assert cli("--help").code == cli("log", "--help").code == 0
