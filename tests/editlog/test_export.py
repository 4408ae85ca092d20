"""An export can be verified by a stranger, with forty lines that import nothing of ours."""

from __future__ import annotations

import io
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from editlog.events import Entry
from editlog.fact import Fact
from editlog.store import EditLog

ROOT = Path(__file__).resolve().parents[2]
VERIFIER = ROOT / "examples" / "verify_export.py"


Verify = Callable[..., tuple[int, str]]


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the example's main over some lines: its exit code, and what it says."""
    main = runpy.run_path(str(VERIFIER))["main"]

    def run(lines: list[bytes], *head: str) -> tuple[int, str]:
        path = tmp_path / "export.jsonl"
        path.write_bytes(b"".join(lines))
        try:
            main(str(path), *head)
        except SystemExit as refused:
            return 1, str(refused.code)
        return 0, capsys.readouterr().out

    return run


@pytest.fixture
def lines(log: EditLog) -> list[bytes]:
    facts = [Fact(prompt=f"Zürich is number {n}", target="one", probes={"locality": ["Bern"]}) for n in range(4)]
    log.ingest(facts, actor="ada", reason="“quoted”")
    log.append([Entry("job.started", {"share": 0.1 + 0.2, "tiny": 1e-7})], actor="cron", job="j1")
    log.retract(["f4"], actor="bob", reason="wrong")
    stream = io.BytesIO()
    log.export(stream, with_texts=True)
    return stream.getvalue().splitlines(keepends=True)


def test_an_export_verifies(log: EditLog, lines: list[bytes], tmp_path: Path) -> None:
    path, head = tmp_path / "export.jsonl", log.head()
    path.write_bytes(b"".join(lines))
    command = [sys.executable, "-I", "-S", str(VERIFIER), str(path), head.hash]  # no package of ours in reach
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{head.seq} events verified, head {head.hash}\n")


def test_an_export_has_no_texts_unless_asked(log: EditLog, lines: list[bytes]) -> None:
    stream = io.BytesIO()
    log.export(stream)
    assert "Zürich".encode() not in stream.getvalue()
    assert b"secret" not in stream.getvalue()
    bare = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["hash"] for event in bare] == [json.loads(line)["hash"] for line in lines]
    assert json.loads(lines[2])["record"]["probes"] == {"locality": [{"prompt": "Bern"}]}


def test_it_is_forty_lines_at_most() -> None:
    code = VERIFIER.read_text(encoding="utf-8").split('"""', maxsplit=2)[2]
    assert len([line for line in code.splitlines() if line]) <= 40


@pytest.mark.parametrize(
    ("damage", "seqs"),
    [
        ("edit", [1, 3, 5, 8]),
        ("space", [1, 3, 5, 8]),
        ("cut", [1, 3, 5, 8]),
        ("repeat", [1, 3, 5, 8]),
        ("delete", [1, 3, 5]),
        ("text", [3, 5]),
    ],
)
def test_any_change_is_named(lines: list[bytes], verify: Verify, damage: str, seqs: list[int]) -> None:
    for seq in seqs:
        line = lines[seq - 1]
        changed = {
            "edit": [line.replace(b'"at":"2', b'"at":"1')],
            "space": [line.replace(b'{"event":{', b'{"event":{ ')],
            "cut": [line[:-20]],
            "repeat": [line, line],
            "delete": [],
            "text": [line.replace(b'"target":"one"', b'"target":"two"')],
        }[damage]
        code, said = verify([*lines[: seq - 1], *changed, *lines[seq:]])
        assert code == 1
        assert said.startswith(f"event {seq + (damage == 'repeat')}: ")


def test_a_missing_end_shows_against_a_known_head(log: EditLog, lines: list[bytes], verify: Verify) -> None:
    assert verify(lines[:-1])[0] == 0
    assert verify(lines[:-1], log.head().hash)[0] == 1
    assert verify([])[0] == 1


def test_the_example_in_the_contract_verifies(verify: Verify) -> None:
    text = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(\{\"event\".*?)```", text, re.DOTALL)
    assert verify([block.encode()])[0] == 0


def test_the_contract_names_every_kind() -> None:
    from editlog.bodies import KINDS

    text = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`[a-z]+\.[a-z_]+`(?:, `[a-z]+\.[a-z_]+`)*) \|", text, re.MULTILINE)
    assert set(re.findall(r"`([^`]+)`", " ".join(first_cells))) == set(KINDS)
