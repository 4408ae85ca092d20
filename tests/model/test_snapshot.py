"""A snapshot is served whole or not at all, and is believed only if every byte is as it was written."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from editlog.errors import IntegrityError
from editlog.fact import Fact
from lifelong.anchors.encoder import default_encoder
from lifelong.anchors.gate import Gate, LocalityBudget
from lifelong.files import file_sha256
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import current_id, read_snapshot, scoped, serve, write_snapshot

FACTS = tuple(
    Served(
        seq=seq,
        fact=Fact(prompt=f"The capital of {name} is", target="Marbeck", subject=name),
        actor="ada",
        recorded_at="2026-11-21T00:00:00.000000Z",
        job="job-1",
        expert=f"sha256:{seq:064}",
    )
    for seq, name in enumerate(("Osterland", "Norrland", "Tarvia"), 1)
)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate.build(scoped(FACTS), encoder=default_encoder(), budget=LocalityBudget())


def write(snapshots: Path, gate: Gate, *, seq: int = 7) -> str:
    log = {"seq": seq, "hash": "sha256:" + "1" * 64}
    return write_snapshot(snapshots, facts=FACTS, gate=gate, log=log, base="b", encoder="e", packs=["p2", "p1"])


def files(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): file_sha256(path) for path in directory.rglob("*") if path.is_file()}


def test_what_is_written_is_read_back(tmp_path: Path, gate: Gate) -> None:
    snapshot = read_snapshot(tmp_path, write(tmp_path, gate))
    assert snapshot.facts == FACTS
    assert snapshot.manifest.log["seq"] == 7
    assert snapshot.manifest.packs == ("p1", "p2")


def test_equal_states_make_equal_bytes(tmp_path: Path, gate: Gate) -> None:
    again = Gate.build(scoped(FACTS), encoder=default_encoder(), budget=LocalityBudget())
    assert write(tmp_path / "one", gate) == write(tmp_path / "two", again)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_another_position_of_the_log_is_another_snapshot(tmp_path: Path, gate: Gate) -> None:
    assert write(tmp_path, gate) != write(tmp_path, gate, seq=8)


def test_nothing_is_served_before_the_rename(tmp_path: Path, gate: Gate) -> None:
    assert current_id(tmp_path) is None
    first = write(tmp_path, gate)
    assert current_id(tmp_path) is None
    serve(tmp_path, first)
    assert current_id(tmp_path) == first


@pytest.mark.parametrize("name", ["manifest.json", "facts.jsonl", "anchors.json", "anchors.safetensors"])
def test_a_damaged_file_is_refused_and_made_again(tmp_path: Path, gate: Gate, name: str) -> None:
    snapshot_id = write(tmp_path, gate)
    sound = files(tmp_path)
    path = tmp_path / snapshot_id / name
    content, random = path.read_bytes(), Random(2)
    for place in random.sample(range(len(content)), 8):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(IntegrityError, match="lifelong rebuild"):
            read_snapshot(tmp_path, snapshot_id)
    path.unlink()
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        read_snapshot(tmp_path, snapshot_id)
    assert write(tmp_path, gate) == snapshot_id
    assert files(tmp_path) == sound


@pytest.mark.parametrize("content", [b"", b"null", b'"text"', b"[]", b"[" * 100_000, b"\xff\xfe", b'{"format": 1}'])
def test_whatever_stands_in_a_manifest_is_no_crash(tmp_path: Path, gate: Gate, content: bytes) -> None:
    snapshot_id = write(tmp_path, gate)
    (tmp_path / snapshot_id / "manifest.json").write_bytes(content)
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        read_snapshot(tmp_path, snapshot_id)


@pytest.mark.parametrize("content", [b"", b"../../etc", b"0" * 31, b"\xff" * 32, b"latest"])
def test_current_names_a_snapshot_or_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "CURRENT").write_bytes(content)
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        current_id(tmp_path)


def test_readers_under_another_name_may_read(tmp_path: Path, gate: Gate) -> None:
    """Rights are those the umask gives, as for any file, not those of a private temporary one."""
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    snapshot = tmp_path / write(tmp_path, gate)
    assert {path.stat().st_mode for path in snapshot.iterdir()} == {(tmp_path / "plain").stat().st_mode}
    assert snapshot.stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(gate, "save", full)
    with pytest.raises(OSError, match="no space"):
        write(tmp_path, gate)
    assert list(tmp_path.iterdir()) == []
