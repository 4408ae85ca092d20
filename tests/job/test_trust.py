"""Rules on whose facts are applied, from the command line to the model; and a witness beside the workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lifelong
from lifelong.cli import main
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]


def call(home: Path, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["--home", str(home), *words])
    return done.exit_code, done.stdout, done.stderr


def configure(workspace: Workspace, text: str) -> None:
    config = workspace.layout.config
    config.write_text(text + config.read_text(encoding="utf-8"), encoding="utf-8")


def key_of(folder: Path, name: str) -> str:
    """Make a key by the command line; the part of lifelong.toml it prints."""
    done = CliRunner().invoke(main, ["keys", "new", name, "--directory", str(folder)])
    assert done.exit_code == 0
    return done.stdout


def test_only_what_is_signed_and_approved_is_applied(
    workspace: Workspace, facts: Records, write_facts: Callable[..., Path], tmp_path: Path
) -> None:
    home = workspace.home
    trusted = "\n".join(key_of(tmp_path, name) for name in ("ada", "bob"))
    configure(workspace, "require_signature = true\nrequire_approval = true\n")
    with workspace.layout.config.open("a", encoding="utf-8") as config:
        config.write(f"\n{trusted}\n")
    assert [row["name"] for row in json.loads(call(home, "keys", "list", "--json")[1])] == ["ada", "bob"]

    unsigned, signed = (write_facts([record], f"{n}.jsonl") for n, record in enumerate(facts[:2]))
    call(home, "ingest", str(unsigned), "--actor", "ada")
    call(home, "ingest", str(signed), "--actor", "ada", "--sign", str(tmp_path / "ada.key"))
    held = {row["fact"]: row["code"] for row in json.loads(call(home, "plan", "--json")[1])["held"]}
    assert held == {"f4": "unsigned", "f6": "not-approved"}
    assert "not-approved" in call(home, "plan")[1]
    assert json.loads(call(home, "status", "--json")[1])["held"] == {"unsigned": 1, "not-approved": 1}
    assert lifelong.open(home).run(actor="night").status == "nothing-pending"

    call(home, "approve", "f4", "f6", "--actor", "bob", "--sign", str(tmp_path / "bob.key"))
    assert json.loads(call(home, "plan", "--json")[1])["held"][0]["code"] == "unsigned"
    report = lifelong.open(home).run(actor="night")
    assert (report.status, report.applied) == ("published", ["f6"])
    assert lifelong.open(home).ask(facts[1]["prompt"])[0].text == facts[1]["target"]
    assert not lifelong.open(home).explain(facts[0]["prompt"]).hit
    code, _, err = call(home, "reject", "f6", "--reason", "too late")
    assert (code, "retract" in err) == (2, True)


def test_a_rejected_fact_is_held_without_any_rule(
    workspace: Workspace, facts: Records, write_facts: Callable[..., Path]
) -> None:
    workspace.ingest(write_facts(facts[:2]), actor="ada")
    call(workspace.home, "reject", "f4", "--actor", "bob", "--reason", "the register says otherwise")
    assert (workspace.plan().pending, workspace.plan().held[0]["code"]) == (1, "rejected")
    history = json.loads(call(workspace.home, "fact", "history", "f4", "--json")[1])
    assert [(row["kind"], row["actor"], row["reason"]) for row in history][-1] == (
        "fact.rejected", "bob", "the register says otherwise",
    )  # fmt: skip


def test_doctor_shows_how_far_the_witness_is_behind(
    workspace: Workspace, facts: Records, write_facts: Callable[..., Path], tmp_path: Path
) -> None:
    configure(workspace, f'head_witness = "{tmp_path}/elsewhere/heads.jsonl"\n')
    opened = lifelong.open(workspace.home)
    opened.ingest(write_facts(facts[:1]), actor="ada")
    witness = {check.name: check for check in opened.doctor()}["witness"]
    assert not witness.ok
    assert "4 events behind" in witness.detail
    (tmp_path / "elsewhere").mkdir()
    opened.retract(["f4"], actor="ada", reason="wrong")
    assert {check.name: check for check in opened.doctor()}["witness"].ok
    code, out, _ = call(workspace.home, "log", "verify", "--against", f"{tmp_path}/elsewhere/heads.jsonl")
    assert (code, out) == (0, "The log is intact.\n")


def test_without_the_extra_a_signature_is_one_clear_sentence(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key_of(tmp_path, "ada")
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    code, _, err = call(workspace.home, "approve", "f4", "--sign", str(tmp_path / "ada.key"))
    assert code == 1
    assert err == (
        "Error: signatures need the package cryptography, which is not installed: pip install 'lifelong[signing]'\n"
    )


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    key_of(tmp_path, "ada")
    assert (tmp_path / "ada.key").stat().st_mode & 0o777 == 0o600
    done = CliRunner().invoke(main, ["keys", "new", "ada", "--directory", str(tmp_path)])
    assert done.exit_code == 2
    assert CliRunner().invoke(main, ["keys", "new", "../ada"]).exit_code == 2
