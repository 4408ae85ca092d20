"""A fact is proven to a stranger who knows one head; and what was signed, approved or redacted spoils no proof."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from editlog.endorsement import Signer
from editlog.errors import UsageError
from editlog.fact import Fact
from editlog.signing import SigningKey
from editlog.store import EditLog
from editlog.witness import Witness

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Check = Callable[..., tuple[int, str]]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "log.key")


@pytest.fixture
def watched(log: EditLog, tmp_path: Path, key: SigningKey) -> EditLog:
    """Five facts, signed and approved, one redacted; a witness was told of every step."""
    watched = EditLog(log.directory, witness=Witness(tmp_path / "heads.jsonl", key=tmp_path / "log.key"))
    facts = [Fact(prompt=f"The number of door {n} is", target="sieben, “7”") for n in range(5)]
    watched.ingest(facts, actor="ada", signer=Signer(key))
    watched.approve(["f3", "f4"], actor="bob")
    watched.redact([5], actor="dpo", reason="asked")
    return watched


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run the example on a proof, in a process that can import nothing of ours."""

    def run(proof: dict[str, Any], *key: str) -> tuple[int, str]:
        path = tmp_path / "proof.json"
        path.write_text(json.dumps(proof), encoding="utf-8")
        words = [sys.executable, "-I", str(EXAMPLES / "verify_proof.py"), str(path), str(tmp_path / "heads.jsonl")]
        done = subprocess.run([*words, *key], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_every_event_is_proven_against_every_head(watched: EditLog, check: Check, tmp_path: Path) -> None:
    sizes = [json.loads(line)["seq"] for line in (tmp_path / "heads.jsonl").read_bytes().splitlines()]
    assert len(sizes) == 3
    assert check(watched.proof(3, at=sizes[0]).to_dict())[0] == 0
    for seq in range(1, sizes[-1] + 1):
        assert watched.proof(seq).root == watched.proof(1).root
    assert check(watched.proof(7, with_texts=True).to_dict())[0] == 0


def test_it_opens_the_words_and_a_signed_head_is_held_to_its_key(
    watched: EditLog, check: Check, key: SigningKey, tmp_path: Path
) -> None:
    proof = watched.proof(3, with_texts=True).to_dict()
    assert proof["record"]["target"] == "sieben, “7”"
    code, said = check(proof, key.public)
    assert (code, said.startswith("event 3 is in the log")) == (0, True)
    assert check(proof, SigningKey.create(tmp_path / "other.key").public)[0] == 1
    assert check({**proof, "record": {**proof["record"], "target": "acht"}})[0] == 1


def test_what_was_redacted_is_proven_without_its_words(watched: EditLog, check: Check) -> None:
    proof = watched.proof(5, with_texts=True).to_dict()
    assert "record" not in proof
    assert check(proof)[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"size": 9},
        {"path": []},
        {"workspace": "0" * 32},
        {"event": {"actor": "eve"}},
        {"event": {"seq": 4}},
    ],
    ids=str,
)
def test_anything_else_is_not_proven(watched: EditLog, check: Check, change: dict[str, Any]) -> None:
    proof = watched.proof(3).to_dict()
    event = {**proof["event"], **change.pop("event", {})}
    assert check({**proof, **change, "event": event})[0] == 1


def test_there_is_no_proof_of_what_is_not_there(watched: EditLog) -> None:
    end = watched.head().seq
    for seq, at in ((end + 1, None), (3, end + 1), (5, 4)):
        with pytest.raises(UsageError):
            watched.proof(seq, at=at)


def test_the_export_of_such_a_log_verifies(watched: EditLog, tmp_path: Path) -> None:
    for with_texts in (False, True):
        stream = io.BytesIO()
        head = watched.export(stream, with_texts=with_texts)
        (tmp_path / "export.jsonl").write_bytes(stream.getvalue())
        words = [sys.executable, "-I", "-S", str(EXAMPLES / "verify_export.py"), str(tmp_path / "export.jsonl")]
        done = subprocess.run([*words, head.hash], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_head_in_the_contract_is_that_of_the_log_in_the_contract() -> None:
    from editlog.merkle import Edge, leaf

    text = (EXAMPLES.parent / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith('{"event"')]
    (head,) = [json.loads(line) for line in text.splitlines() if line.startswith('{"at"')]
    edge = Edge()
    for line in lines:
        edge.add(leaf(line[len('{"event":') : line.index(',"hash":')].encode()))
    assert head["root"] == f"sha256:{edge.root().hex()}"
    assert head["hash"] == json.loads(lines[-1])["hash"]
