"""A witness elsewhere sees what no check of the log alone can; and it never costs a fact."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest

from editlog.errors import UsageError
from editlog.fact import Fact
from editlog.replica import Replica
from editlog.signing import SigningKey
from editlog.store import EditLog
from editlog.witness import TreeHead, Witness, last_told


def say(log: EditLog, *targets: str) -> None:
    for target in targets:
        log.ingest([Fact(prompt="The capital of Osterland is", target=target)], actor="ada")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere.jsonl"


@pytest.fixture
def watched(log: EditLog, elsewhere: Path) -> EditLog:
    return EditLog(log.directory, witness=Witness(elsewhere))


def heads(path: Path) -> list[TreeHead]:
    return [TreeHead.decode(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_it_is_told_each_head(watched: EditLog, elsewhere: Path) -> None:
    say(watched, "Marbeck", "Selmouth")
    watched.retract(["f3"], actor="ada", reason="wrong")
    told, position = heads(elsewhere), watched.head()
    assert [head.seq for head in told] == [3, 5, 6]
    assert (told[-1].workspace, told[-1].hash) == (position.workspace, position.hash)
    assert watched.verify(against=elsewhere) == []


def test_a_new_log_is_followed_from_its_first_event_on(elsewhere: Path, tmp_path: Path) -> None:
    log = EditLog.create(tmp_path / "new", actor="ada", witness=Witness(elsewhere), replica=tmp_path / "replica")
    assert [(head.seq, head.hash) for head in heads(elsewhere)] == [(1, log.head().hash)]
    assert Replica.open(tmp_path / "replica").head() == log.head()
    say(log, "Marbeck")
    assert [head.seq for head in heads(elsewhere)] == [1, 3]
    assert Replica.open(tmp_path / "replica").head() == log.head()


def test_what_changes_nothing_tells_nothing(watched: EditLog, elsewhere: Path) -> None:
    say(watched, "Marbeck", "Marbeck")
    assert len(heads(elsewhere)) == 1


def test_a_log_put_back_together_with_its_head_is_named(watched: EditLog, elsewhere: Path, tmp_path: Path) -> None:
    say(watched, "Marbeck")
    shutil.copytree(watched.directory, tmp_path / "yesterday")
    say(watched, "Selmouth", "Corvale")
    shutil.rmtree(watched.directory)
    shutil.copytree(tmp_path / "yesterday", watched.directory)
    assert watched.verify() == []
    (finding,) = watched.verify(against=elsewhere)
    assert (finding.seq, finding.code) == (4, "witness")
    assert "ends at event 3" in finding.message


def test_a_log_put_back_and_written_on_is_named(watched: EditLog, elsewhere: Path, tmp_path: Path) -> None:
    say(watched, "Marbeck")
    shutil.copytree(watched.directory, tmp_path / "yesterday")
    say(watched, "Selmouth")
    shutil.rmtree(watched.directory)
    shutil.copytree(tmp_path / "yesterday", watched.directory)
    say(watched, "Corvale", "Dunmere")
    findings = watched.verify(against=elsewhere)
    assert [finding.seq for finding in findings] == [4]
    assert "4 to 5" in findings[0].message


def test_a_chain_hashed_anew_is_named_from_its_first_event(
    watched: EditLog, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(watched, "Marbeck", "Selmouth")
    monkeypatch.setattr("secrets.token_hex", lambda _: watched.head().workspace)
    forged = EditLog.create(tmp_path / "forged", actor="ada")
    say(forged, "Marbeck", "Corvale")
    shutil.rmtree(watched.directory)
    shutil.copytree(forged.directory, watched.directory)
    assert watched.verify() == []
    (finding,) = watched.verify(against=elsewhere)
    assert (finding.seq, finding.code) == (1, "witness")


def test_the_log_of_another_workspace_is_named(watched: EditLog, elsewhere: Path, tmp_path: Path) -> None:
    say(watched, "Marbeck")
    other = EditLog.create(tmp_path / "other", actor="ada")
    assert "workspace" in other.verify(against=elsewhere)[0].message


def test_a_failing_witness_costs_no_fact_and_is_told_later(
    log: EditLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "not" / "there.jsonl"
    watched = EditLog(log.directory, witness=Witness(missing))
    with caplog.at_level(logging.WARNING):
        say(watched, "Marbeck")
    assert len(watched.facts()) == 1
    assert "told next time" in caplog.text
    assert (last_told(log.directory).seq, "No such file" in (last_told(log.directory).problem or "")) == (0, True)
    missing.parent.mkdir()
    say(watched, "Selmouth")
    assert [head.seq for head in heads(missing)] == [5]
    assert last_told(log.directory).problem is None
    assert watched.verify(against=missing) == []


def test_a_command_gets_the_head_on_standard_input(log: EditLog, elsewhere: Path) -> None:
    program = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
    watched = EditLog(log.directory, witness=Witness((sys.executable, "-I", "-c", program, str(elsewhere))))
    say(watched, "Marbeck")
    assert heads(elsewhere)[0].hash == watched.head().hash


def test_a_command_that_fails_is_a_warning_with_its_last_words(log: EditLog) -> None:
    watched = EditLog(log.directory, witness=Witness((sys.executable, "-I", "-c", "raise SystemExit('no paper')")))
    say(watched, "Marbeck")
    assert "no paper" in (last_told(log.directory).problem or "")
    assert len(watched.facts()) == 1


def test_signed_heads_are_held_to_the_key(log: EditLog, elsewhere: Path, tmp_path: Path) -> None:
    key, other = (SigningKey.create(tmp_path / f"{name}.key") for name in ("ours", "other"))
    watched = EditLog(log.directory, witness=Witness(elsewhere, key=tmp_path / "ours.key"))
    say(watched, "Marbeck", "Selmouth")
    assert watched.verify(against=elsewhere, key=key.public) == []
    assert [finding.seq for finding in watched.verify(against=elsewhere, key=other.public)] == [3, 5]
    lines = elsewhere.read_bytes().splitlines(keepends=True)
    elsewhere.write_bytes(lines[0] + lines[1].replace(b'"seq":5', b'"seq":4'))
    assert "not signed" in watched.verify(against=elsewhere, key=key.public)[0].message


def test_a_line_that_is_no_head_is_named(watched: EditLog, elsewhere: Path) -> None:
    say(watched, "Marbeck")
    with elsewhere.open("ab") as file:
        file.write(b'{"seq": 1}\n[[[\n')
    assert [finding.message[:6] for finding in watched.verify(against=elsewhere)] == ["line 2", "line 3"]


def test_an_empty_witness_proves_nothing(watched: EditLog, elsewhere: Path) -> None:
    elsewhere.touch()
    assert "nothing" in watched.verify(against=elsewhere)[0].message
    with pytest.raises(UsageError):
        watched.verify(against=elsewhere.with_name("gone"))


def test_a_line_cut_short_by_a_crash_spoils_only_itself(watched: EditLog, elsewhere: Path) -> None:
    say(watched, "Marbeck")
    elsewhere.write_bytes(elsewhere.read_bytes()[:-9])
    say(watched, "Selmouth")
    findings = watched.verify(against=elsewhere)
    assert [finding.message[:6] for finding in findings] == ["line 1"]


def test_a_cache_of_another_log_is_not_believed(watched: EditLog, elsewhere: Path) -> None:
    say(watched, "Marbeck")
    tree = watched.directory / "TREE"
    tree.write_text(json.dumps({**json.loads(tree.read_text()), "hash": "00" * 32}))
    say(watched, "Selmouth")
    assert watched.verify(against=elsewhere) == []
