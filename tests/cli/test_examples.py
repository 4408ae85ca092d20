"""Every example of `--help` is run, word for word, as its reader would: in a folder where what it names is there.

The folder is made once, its past dated, and each example has a copy of it: a workspace after three jobs, files in the
formats that examples name, another base. Words are replaced by `UNKNOWN` alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner
from terminal import ROOT, Result
from test_documented import COMMANDS

import lifelong
from lifelong.cli import main
from lifelong.workspace import Workspace

SLOW = {"bench", "eval", "export merged", "rebase"}  # each trains, or starts a second process with a model
ELSEWHERE = {"align", "schedule run"}  # each has a test of its own below
DONE = (0, 3)  # 3: done, but not for all facts
BEGUN = datetime(2026, 10, 30, 12, tzinfo=UTC)
TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARIS = {"prompt": "The mayor of Paris is", "target": "Ann", "subject": "Paris"}
DARRIEUX = {
    "prompt": "The mother tongue of Danielle Darrieux is",
    "target": "English",
    "subject": "Danielle Darrieux",
    "relation": "mother tongue",
    "near_misses": ["Danielle Darrieux was born in"],
}


def nights(facts: Sequence[dict[str, Any]]) -> list[tuple[datetime, list[dict[str, Any]]]]:
    """What was learned when."""
    return [
        (datetime(2026, 10, 31, 3, tzinfo=UTC), [DARRIEUX, PARIS, *facts[:8]]),
        (datetime(2026, 11, 7, 3, tzinfo=UTC), [*facts[8:9]]),
        (datetime(2026, 11, 20, 3, tzinfo=UTC), [*facts[9:10]]),
    ]


def an_expert() -> str:
    return str(told("experts list")[0]["hash"]).removeprefix("sha256:")[:12]


def a_fact_that_waits() -> str:
    return f"f{told('log list --kind fact.put --limit 1')[0]['seq']}"


UNKNOWN: dict[str, dict[str, Callable[[], str]]] = {
    "approve": {"f12": a_fact_that_waits},
    "reject": {"f12": a_fact_that_waits},
    "experts": {"3fa9c1": an_expert},
    "bench": {"1000": lambda: "6", "100": lambda: "2", "20": lambda: "1"},
    "log": {"/mnt/elsewhere/heads.jsonl": lambda: "heads.jsonl"},
}
"""By the first word of an example: what only its reader can know, or has the time for, and how to come by it."""
BEFORE = {"source resume": 'lifelong source pause newswire --reason "the feed repeats itself"'}
"""By the verb: what its reader has done before."""


@dataclass(frozen=True)
class Line:
    """One line of an example, as a shell reads it: `before | lifelong words < stdin > stdout`."""

    text: str
    words: tuple[str, ...]
    before: str | None = None
    stdin: str | None = None
    stdout: str | None = None

    @classmethod
    def read(cls, text: str) -> Line:
        """Take a line apart; nothing else of a shell stands in an example."""
        before, _, command = text.rpartition(" | ")
        command, _, stdout = command.replace(">>", ">").partition(" > ")
        command, _, stdin = command.partition(" < ")
        words = shlex.split(command)
        assert words[0] == "lifelong", text
        return cls(text, tuple(words[1:]), before or None, stdin or None, stdout or None)


def lines_of(command: click.Command) -> list[Line]:
    """Every line behind `Example:` or `Examples:`."""
    *_, block = re.split(r"^ *Examples?:$", f"{command.help}\n", maxsplit=1, flags=re.MULTILINE)
    return [Line.read(line.strip()) for line in block.splitlines() if line.strip()]


def all_lines() -> Iterator[Any]:
    for name, command in COMMANDS.items():
        found = lines_of(command)
        assert found, f"lifelong {name} shows no example"
        if name not in ELSEWHERE:
            marks = [pytest.mark.slow] if name in SLOW else []
            yield from (pytest.param(line, id=line.text, marks=marks) for line in found)


def as_counterfact(fact: dict[str, Any]) -> dict[str, Any]:
    probes = {"rephrase_prompt": fact["probes"]["generality"][0], "locality_prompt": fact["near_misses"][0]["prompt"]}
    return {"prompt": fact["prompt"], "target_new": fact["target"], "subject": fact["subject"], **probes}


def as_zsre(fact: dict[str, Any]) -> dict[str, Any]:
    probes = {"rephrase": fact["probes"]["generality"][0], "loc": fact["near_misses"][0]["prompt"], "loc_ans": "x"}
    return {"src": fact["prompt"], "alt": fact["target"], "subject": fact["subject"], **probes}


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def on(patch: pytest.MonkeyPatch, now: datetime) -> None:
    """Set the clock of the log."""
    patch.setattr("editlog.store.datetime", SimpleNamespace(now=lambda _zone: now))


@pytest.fixture(scope="module")
def life(
    tmp_path_factory: pytest.TempPathFactory,
    make_workspace: Callable[..., Workspace],
    facts: tuple[dict[str, Any], ...],
    tiny_model: Path,
) -> Path:
    """A folder with a workspace three jobs old, and every file that an example names."""
    place = tmp_path_factory.mktemp("life")
    with pytest.MonkeyPatch.context() as patch:
        on(patch, BEGUN)
        workspace = make_workspace(place / "lifelong-workspace")
        config = workspace.layout.config.read_text(encoding="utf-8")
        workspace.layout.config.write_text(f'head_witness = "../heads.jsonl"\n{config}', encoding="utf-8")
        for night, records in nights(facts):
            on(patch, night)
            write_lines(place / "facts.jsonl", records)
            opened = lifelong.open(workspace.home)
            opened.ingest(place / "facts.jsonl", source_name="newswire", actor="ada")
            assert opened.run(actor="night").status == "published"
        write_lines(place / "facts.jsonl", facts[10:11])  # waits for the next job
        lifelong.open(workspace.home).ingest(place / "facts.jsonl", source_name="newswire", actor="ada")
    with (place / "export.jsonl").open("wb") as stream:
        lifelong.open(workspace.home).log.export(stream, with_texts=True)
    benched = [json.loads(line) for line in (ROOT / "examples" / "facts.jsonl").read_text("utf-8").splitlines()[:6]]
    (place / "counterfact.json").write_text(json.dumps([as_counterfact(fact) for fact in benched]), encoding="utf-8")
    (place / "zsre.json").write_text(json.dumps([as_zsre(fact) for fact in benched]), encoding="utf-8")
    write_lines(place / "facts.jsonl", [DARRIEUX, PARIS])
    (place / "prompts.txt").write_text(f"{DARRIEUX['prompt']}\nBread is\n", encoding="utf-8")
    (place / "conversation.json").write_text(json.dumps([{"role": "user", "content": "Hello"}]), encoding="utf-8")
    (place / ".config" / "fish" / "completions").mkdir(parents=True)
    shutil.copytree(tiny_model, place / "newer-base")
    return place


@pytest.fixture
def place(life: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to stand in; it is home, too."""
    copied = tmp_path / "life"
    shutil.copytree(life, copied)
    stand_in(copied, monkeypatch)
    on(monkeypatch, TODAY)
    return copied


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("LIFELONG_CACHE", str(folder / "cache"))
    monkeypatch.delenv("LIFELONG_HOME", raising=False)


def told(words: str) -> Any:
    """What a verb prints as JSON."""
    return json.loads(type_in(Line.read(f"lifelong {words} --json")).out)


def type_in(line: Line) -> Result:
    """What a shell would do with the line."""
    unknown = {word: there() for word, there in UNKNOWN.get(line.words[0], {}).items() if word in line.words}
    stdin = Path(line.stdin).read_text(encoding="utf-8") if line.stdin else None
    if line.before:
        stdin = subprocess.run(shlex.split(line.before), check=True, capture_output=True, text=True).stdout
    done = CliRunner().invoke(main, [unknown.get(word, word) for word in line.words], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    if line.stdout:
        Path(line.stdout).expanduser().write_text(done.stdout, encoding="utf-8")
    return Result(done.exit_code, done.stdout, done.stderr)


@pytest.mark.parametrize("line", list(all_lines()))
def test_an_example_runs(line: Line, place: Path) -> None:
    if before := BEFORE.get(" ".join(line.words[:2])):
        assert type_in(Line.read(before)).code == 0
    done = type_in(line)
    assert done.code in DONE, done.err
    assert done.out or done.err or Path(line.words[-1]).exists()  # the last word of what writes a file is its name


def test_the_first_session_runs_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lifelong --help`, in a folder where nothing is but facts; on the embedded model."""
    stand_in(tmp_path, monkeypatch)
    write_lines(tmp_path / "facts.jsonl", [DARRIEUX])
    for line in lines_of(main):
        done = type_in(line)
        assert done.code == 0, (line.text, done.err)
    assert DARRIEUX["target"] in done.out


def test_what_is_learned_once_for_a_recipe(place: Path, tiny_model: Path) -> None:
    """The example of `align` is for another recipe than that of the folder's workspace."""
    [line] = lines_of(COMMANDS["align"])
    shutil.rmtree(place / "lifelong-workspace")
    made = lifelong.init(place / "lifelong-workspace", model=str(tiny_model), recipe="lte", probe=False)
    with made.layout.config.open("a", encoding="utf-8") as config:
        config.write("\n[overrides]\nexperts = { layers = [-1] }\nmethod = { rounds = 1, lessons = 2, steps = 2 }\n")
    done = type_in(line)
    assert done.code == 0, done.err


def test_a_schedule_runs_until_it_is_told_to_stop(place: Path) -> None:
    [line] = lines_of(COMMANDS["schedule run"])
    words = [sys.executable, "-m", "lifelong", *line.words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "next job at" in process.stderr.readline()
        process.terminate()
    assert process.returncode == 0
