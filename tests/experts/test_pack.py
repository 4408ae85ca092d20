"""A pack is believed only if it is, to the byte, what its name says, and only if what it holds makes sense."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save

from editlog.canonical import canonical_json, sha256, tag
from editlog.errors import IntegrityError
from lifelong.experts.expert import Expert, LowRank
from lifelong.experts.pack import pack_path, read_pack, write_pack
from lifelong.experts.table import FORMAT, TABLE

SITE = "model.layers.1.mlp.down_proj"
OTHER = "model.layers.0.mlp.down_proj"


def experts(count: int, sites: tuple[str, ...] = (SITE,)) -> list[Expert]:
    random = torch.Generator().manual_seed(0)

    def factors() -> LowRank:
        a, b = torch.randn(2, 8, generator=random), torch.randn(4, 2, generator=random)
        return LowRank(a.half(), b.half())

    return [Expert((f"fact-{i}",), {site: factors() for site in sites}, "recipe", "base") for i in range(count)]


def stored(directory: Path, content: bytes) -> str:
    """Put bytes where a pack of that name would lie, as someone who knows the naming rule could."""
    name = hashlib.sha256(content).hexdigest()
    pack_path(directory, name).write_bytes(content)
    return name


def table(slots: int, *, kind: str = "lowrank", **changes: Any) -> dict[str, str]:
    """The metadata of a well-formed pack of this many slots, with some of its entries changed."""
    entries = [{"hash": tag(sha256(b"%d" % i)), "facts": [f"fact-{i}"], "kind": kind} for i in range(slots)]
    record = {"format": FORMAT, "base": "b", "recipe": "r", "slots": entries} | changes
    return {TABLE: canonical_json(record).decode()}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = experts(5, (SITE, OTHER))
    pack = read_pack(tmp_path, write_pack(tmp_path, written))
    assert len(pack) == 5
    assert [pack.expert(slot).hash for slot in range(5)] == [one.hash for one in written]
    assert pack.hashes == tuple(one.hash for one in written)
    assert pack.facts == tuple(one.facts for one in written)
    assert (pack.base, pack.recipe) == ("base", "recipe")
    assert torch.equal(pack.expert(3).tensors[OTHER].b, written[3].tensors[OTHER].b)


def test_a_pack_is_named_by_its_bytes(tmp_path: Path) -> None:
    name = write_pack(tmp_path, experts(3))
    assert hashlib.sha256(pack_path(tmp_path, name).read_bytes()).hexdigest() == name
    assert write_pack(tmp_path, experts(3)) == name
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.safetensors"]


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    name = write_pack(tmp_path, experts(3))
    path = pack_path(tmp_path, name)
    sound = path.read_bytes()
    random = Random(1)
    for place in {0, 7, 8, len(sound) - 1, *random.sample(range(len(sound)), 300)}:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"damaged.*backup"):
            read_pack(tmp_path, name)


def test_a_cut_or_lengthened_file_is_refused(tmp_path: Path) -> None:
    name = write_pack(tmp_path, experts(3))
    path = pack_path(tmp_path, name)
    sound = path.read_bytes()
    for wrong in (*(sound[:cut] for cut in range(0, len(sound), len(sound) // 50)), sound + b"\0", sound + sound):
        path.write_bytes(wrong)
        with pytest.raises(IntegrityError, match=r"damaged.*backup"):
            read_pack(tmp_path, name)


def test_a_missing_pack_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="backup"):
        read_pack(tmp_path, "0" * 64)


A, B = torch.zeros(2, 2, 8), torch.zeros(2, 4, 2)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({f"{SITE}/a": A, f"{SITE}/b": torch.full_like(B, float("nan"))}, table(2)),
        ({f"{SITE}/a": torch.full_like(A, float("inf")), f"{SITE}/b": B}, table(2)),
        ({f"{SITE}/a": A, f"{SITE}/b": torch.zeros(2, 4, 3)}, table(2)),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, table(3)),
        ({f"{SITE}/a": torch.zeros(2, 16), f"{SITE}/b": B}, table(2)),
        ({f"{SITE}/a": A.to(torch.int32), f"{SITE}/b": B}, table(2)),
        ({f"{SITE}/a": A}, table(2)),
        ({"loose": A}, table(2)),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, table(2, format="lifelong-pack/2")),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, table(2, kind="value")),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, {TABLE: "not JSON"}),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, {TABLE: "[]"}),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, {TABLE: "{}"}),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, {TABLE: "[" * 100_000}),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, {"format": "pt"}),
        ({f"{SITE}/a": A, f"{SITE}/b": B}, None),
    ],
    ids=[
        "nan", "infinity", "unequal ranks", "too few slots", "two dimensions", "whole numbers", "no b", "no site",
        "a later format", "a foreign kind", "no JSON", "no table", "an empty table", "too deep", "someone else's",
        "no metadata",
    ],
)  # fmt: skip
def test_a_well_named_file_that_makes_no_sense_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None
) -> None:
    name = stored(tmp_path, save(tensors, metadata))
    with pytest.raises(IntegrityError, match=r"\.safetensors"):
        read_pack(tmp_path, name)


class Bomb:
    """Goes off where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("bomb-went-off"),)


@pytest.mark.parametrize("framed", [False, True], ids=["bare", "framed"])
def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framed: bool) -> None:
    monkeypatch.chdir(tmp_path)
    raw = pickle.dumps(Bomb())
    name = stored(tmp_path, struct.pack("<Q", len(raw)) + raw if framed else raw)
    with pytest.raises(IntegrityError):
        read_pack(tmp_path, name)
    assert not Path("bomb-went-off").exists()


@pytest.mark.parametrize(
    "name",
    ["", "../secrets", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "../" + "a" * 61, "a" * 63 + "/", "é" * 64],
)
def test_a_hostile_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(IntegrityError, match="not the name of a pack"):
        read_pack(tmp_path, name)
