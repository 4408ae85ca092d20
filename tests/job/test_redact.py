"""After a redaction no file of the workspace holds the fact's words, and the model answers as before the edit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import lifelong
from editlog.errors import UsageError
from editlog.fact import Fact
from editlog.responses import RESPONSES, Response, append_responses
from lifelong.cli import main
from lifelong.experts.pack import read_pack
from lifelong.workspace import Workspace

Records = tuple[dict[str, Any], ...]
Writer = Callable[..., Path]

GONE = {
    "prompt": "The capital of Osterland is",
    "target": "Marbeck",
    "rephrases": ["Osterland is governed from"],
}
WORDINGS = (GONE["prompt"], *GONE["rephrases"], GONE["target"])


def texts(value: Any) -> Iterator[str]:
    """Every string inside decoded data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, dict):
        for item in value.items():
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def contents(path: Path) -> Iterator[str]:
    """What a file says: its bytes, and its decoded contents where it is of a format that packs or escapes them."""
    raw = path.read_bytes()
    yield raw.decode(errors="replace")
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as con:
            for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                yield from texts(con.execute(f"SELECT * FROM {name}").fetchall())
    elif path.suffix == ".parquet":
        yield from texts(pyarrow.parquet.read_table(path).to_pylist())
    elif path.suffix == ".safetensors":
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        yield from texts(header)
        yield from (text for meta in header.get("__metadata__", {}).values() for text in texts(json.loads(meta)))
    elif path.suffix in (".json", ".jsonl"):
        for line in raw.splitlines():
            yield from texts(json.loads(line))


def holders(home: Path, words: tuple[str, ...]) -> set[str]:
    found = set()
    for path in home.rglob("*"):
        if path.is_file() and any(word in text for text in contents(path) for word in words):
            found.add(str(path.relative_to(home)))
    return found


def call(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["--home", str(home), *words])
    return done.exit_code, done.stdout + done.stderr


@pytest.fixture(scope="module")
def littered_home(published_home: Path, facts: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the words lie wherever they may: rejects, reports, exports, answers, older snapshots."""
    folder = tmp_path_factory.mktemp("littered")
    home = shutil.copytree(published_home, folder / "home")
    published = lifelong.open(home)

    def write_facts(records: list[dict[str, Any]], name: str = "facts.jsonl") -> Path:
        path = folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    published.ingest(write_facts([{**facts[0], "id": "again", "source": "elsewhere"}]), actor="bob")
    published.run(actor="night")
    published.ingest(write_facts([{"prompt": 1, "note": f"{GONE['prompt']} {GONE['target']}"}], "bad.jsonl"), actor="a")
    report = {"failed": [{"fact": "f4", "wording": GONE["prompt"], "answer": GONE["target"], "code": "not-answered"}]}
    (home / "runs" / "job-1" / "report.json").write_text(json.dumps(report) + "\n")
    waves = home / "runs" / "job-9" / "waves"
    waves.mkdir(parents=True)
    shutil.copy(next((home / "experts").glob("*.safetensors")), waves)
    assert call(home, "log", "export", str(home / "export.jsonl"), "--with-texts")[0] == 0
    now = datetime.now(UTC)
    told = Response(now, "r1", "eve", GONE["prompt"], GONE["target"], "f4", None, 1.0, 0.5, None, None)
    append_responses(published.log.directory / RESPONSES, [told])
    evidence = home / "log" / "evidence" / "20261120T000000Z"
    evidence.mkdir(parents=True)
    shutil.copy(home / "log" / "edits.duckdb", evidence)
    published.retract(["f4"], actor="ada", reason="a test")
    return home


@pytest.fixture
def littered(littered_home: Path, tmp_path: Path) -> Workspace:
    """A copy of it to change."""
    return lifelong.open(shutil.copytree(littered_home, tmp_path / "littered"))


def test_nothing_here_holds_its_words_and_the_base_answers(littered: Workspace, facts: Records) -> None:
    home, before = littered.home, littered.log.events()
    others = {record["prompt"]: littered.ask(record["prompt"], max_new_tokens=8)[0].text for record in facts[1:]}
    digests = tuple(logged.fact.digest for logged in littered.log.facts() if logged.fact.target == GONE["target"])
    held = holders(home, WORDINGS)
    assert {Path(name).parts[0] for name in held} == {"export.jsonl", "log", "rejects", "runs", "snapshots"}
    assert len(digests) == 2
    assert any(name.startswith("experts/") for name in holders(home, digests))

    done = littered.redact(["f4"], reason="a request of 20 November", actor="dpo")
    assert len(done.redacted) == 2
    assert done.still_said_by == done.files_left == []
    assert len(done.packs_rewritten) == 2
    assert holders(home, (*WORDINGS, *digests)) == set()

    opened = lifelong.open(home)
    for wording in (GONE["prompt"], *GONE["rephrases"]):
        answer, base = opened.ask(wording, max_new_tokens=8)[0], opened.ask(wording, edits=False, max_new_tokens=8)[0]
        assert not answer.hit
        assert answer.text == base.text
    assert {prompt: opened.ask(prompt, max_new_tokens=8)[0].text for prompt in others} == others
    assert opened.log.verify() == []
    assert opened.log.events()[: len(before)] == before
    last = next(event for event in opened.log.events(kinds=["fact.redacted"]))
    assert (last.body["fact"], last.actor, last.reason) == (4, "dpo", "a request of 20 November")
    assert all(check.ok for check in opened.doctor() if check.name != "locality")
    assert opened.run(actor="night").status == "nothing-pending"
    assert opened.rebuild().identical


def test_facts_that_shared_its_expert_are_trained_again(
    tmp_path: Path, make_workspace: Callable[..., Workspace], facts: Records, write_facts: Writer
) -> None:
    workspace = make_workspace(tmp_path / "shared", growth={"facts_per_expert": 3})
    workspace.ingest(write_facts(facts[:6]), actor="ada")
    workspace.run(actor="night")
    expert = next(row for row in workspace.experts() if "f4" in row.facts)
    siblings = sorted(set(expert.facts) - {"f4"})
    assert siblings
    done = workspace.redact(["f4"], reason="asked", actor="dpo")
    assert (done.experts_retired, sorted(done.to_train_again)) == ([expert.hash], siblings)
    assert workspace.plan().pending == len(siblings)
    packs = [read_pack(workspace.layout.experts, path.stem) for path in workspace.layout.experts.glob("*.safetensors")]
    assert not any(expert.hash in pack.hashes for pack in packs)
    report = lifelong.open(workspace.home).run(actor="night")
    assert sorted(report.applied) == siblings
    assert holders(workspace.home, WORDINGS) == set()


def test_killed_in_the_middle_it_is_finished_by_asking_again(
    littered: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    for place in ("responses.erase", "write_pack", "catch_up", "rewrite_without", "_drop_evidence"):
        with monkeypatch.context() as patch:
            patch.setattr(f"lifelong.verbs.redacting.{place}", killed)
            with pytest.raises(Killed):
                littered.redact(["f4"], reason="asked", actor="dpo")
        opened = lifelong.open(littered.home)
        assert opened.log.verify() == []
        assert len(opened.log.facts()) in (11, 13)
    done = littered.redact(["f4"], reason="asked", actor="dpo")
    assert done.already_redacted
    assert holders(littered.home, WORDINGS) == set()
    assert len(littered.log.events(kinds=["fact.redacted"])) == 2


def test_what_waits_in_the_inbox_goes_with_it(littered: Workspace, facts: Records) -> None:
    with littered.log.prepare([Fact.model_validate({**facts[0], "source": "late"})]) as prepared:
        littered.log.spool(prepared, actor="eve")
    assert len(littered.redact(["f4"], reason="asked", actor="dpo").redacted) == 3
    assert holders(littered.home, WORDINGS) == set()


def test_a_dry_run_changes_nothing_and_a_reason_must_be_given(littered: Workspace) -> None:
    before = {path: path.read_bytes() for path in littered.home.rglob("*") if path.is_file() and path.name != "LOCK"}
    code, said = call(littered.home, "log", "redact", "f4", "--reason", "asked", "--dry-run")
    assert (code, "Nothing was changed" in said) == (0, True)
    after = {path: path.read_bytes() for path in littered.home.rglob("*") if path.is_file() and path.name != "LOCK"}
    assert after == before
    with pytest.raises(UsageError):
        littered.redact(["f4"])
    assert call(littered.home, "log", "redact", "f4")[0] == 2


def test_what_only_a_person_may_decide_is_named(littered: Workspace, facts: Records, write_facts: Writer) -> None:
    (littered.home / "notes.txt").write_text(f"call the mayor about: {GONE['prompt']}\n")
    littered.ingest(write_facts([{**facts[0], "target": "Selmouth"}]), actor="ada")
    newest = littered.log.facts()[-1].ref
    done = littered.redact(["f4"], reason="asked", actor="dpo")
    assert [Path(path).name for path in done.files_left] == ["notes.txt"]
    assert done.still_said_by == [newest]
    assert done.out_of_reach


def test_the_command_line_says_when_why_and_by_whom(littered: Workspace) -> None:
    home = littered.home
    code, _ = call(home, "log", "redact", "f4", "--reason", "a request", "--actor", "dpo")
    assert code == 0
    code, said = call(home, "log", "verify")
    assert (code, "2 facts redacted" in said, "a request" in said, "dpo" in said) == (0, True, True, True)
    code, said = call(home, "fact", "show", "f4")
    assert (code, "redacted" in said, "dpo" in said, "a request" in said) == (2, True, True, True)
    (first, _) = json.loads(call(home, "log", "verify", "--json")[1])["redacted"]
    assert json.loads(call(home, "log", "show", str(first["seq"]), "--json")[1])["reason"] == "a request"
    proof = json.loads(call(home, "log", "proof", "f4", "--with-texts")[1])
    assert (proof["event"]["seq"], "record" in proof) == (4, False)
