"""200 files and names made to harm: each is refused with one sentence, exit 6 or 2, and nothing outside is touched.

A pack's name is the hash of its bytes, so whoever makes a pack can name it well: most of these are well named.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save

from editlog.canonical import canonical_json, sha256, tag
from editlog.errors import IntegrityError, LifelongError, UsageError
from lifelong.experts.bank import Bank
from lifelong.experts.expert import Expert, LowRank
from lifelong.experts.pack import pack_path, read_pack, write_pack
from lifelong.experts.table import FORMAT, TABLE

if TYPE_CHECKING:
    from lifelong.models.base import Base
    from lifelong.workspace import Workspace

SITE = "model.layers.1.mlp.down_proj"
HASHES = [tag(sha256(b"%d" % number)) for number in range(2)]
Tensors = dict[str, torch.Tensor]


class Bomb:
    """Goes off where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("bomb-went-off"),)


BOMB = pickle.dumps(Bomb())


def slots() -> list[dict[str, Any]]:
    return [{"facts": [f"fact-{n}"], "hash": hashed, "kind": "lowrank"} for n, hashed in enumerate(HASHES)]


def table(**changes: Any) -> str:
    """A sound slot table of two slots, but for the changes."""
    return canonical_json({"base": "b", "format": FORMAT, "recipe": "r", "slots": slots(), **changes}).decode()


def tensors(site: str = SITE, dtype: torch.dtype = torch.float16) -> Tensors:
    return {f"{site}/a": torch.ones(2, 2, 8, dtype=dtype), f"{site}/b": torch.ones(2, 4, 2, dtype=dtype)}


def pack(found: Tensors | None = None, metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a pack of two slots; sound unless something else is given."""
    return save(tensors() if found is None else found, dict(metadata or {TABLE: table()}))


def framed(header: bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype: Any = "F16", shape: Any = (2, 2, 8), offsets: Any = (0, 64)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def headed(a: Any = None, b: Any = None) -> bytes:
    """A pack whose header says this of its two tensors, with the 96 bytes that sound ones have."""
    header = {
        "__metadata__": {TABLE: table()},
        f"{SITE}/a": entry() if a is None else a,
        f"{SITE}/b": entry(shape=(2, 4, 2), offsets=(64, 96)) if b is None else b,
    }
    return framed(json.dumps(header).encode(), bytes(96))


def frames() -> Iterator[tuple[str, bytes]]:
    """What is no safetensors file at all."""
    sound = pack()
    header = sound[8 : 8 + int.from_bytes(sound[:8], "little")]
    data = sound[8 + len(header) :]
    yield from ((f"{count} bytes", sound[:count]) for count in (0, 1, 7, 8, 9, 100))
    lengths = (0, 1, len(header) - 1, len(header) + 1, len(sound), 100_000_001, 2**31, 2**63 - 1, 2**63, 2**64 - 1)
    yield from ((f"a header of {length}", framed(header, data, length=length)) for length in lengths)
    for text in (b"null", b"[]", b"0", b'"text"', b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}", b"\x00", b"[" * 100_000):
        yield f"the header {text[:8]!r}", framed(text, data)
    yield "a header of nested objects", framed(b'{"a":' * 100_000 + b"}" * 100_000)
    yield "a header of 30 MB of spaces", framed(b"{" + b" " * 30_000_000)
    yield "something behind the end", sound + b"more"
    yield "a part of the data", sound[:-1]
    yield "a tensor twice", framed(header[:-1] + b"," + header[1:], data)
    metadata = json.dumps({TABLE: table()}).encode()
    yield "metadata twice", framed(b'{"__metadata__":' + metadata + b"," + header[1:], data)
    yield "a key of the metadata twice", framed(header.replace(b'{"lifelong"', b'{"lifelong":"x","lifelong"', 1), data)
    yield "a bare pickle", BOMB
    yield "a framed pickle", framed(BOMB)
    yield "a zip of PyTorch", b"PK\x03\x04" + BOMB


def offsets() -> Iterator[tuple[str, bytes]]:
    """Headers that point elsewhere, or say what no tensor is."""
    for wrong in (
        (0, 65), (1, 65), (0, 63), (32, 96), (64, 0), (64, 128), (96, 160), (0, 2**62), (2**63, 2**63 + 64), (-64, 0),
        (0, 2**64), (0.0, 64.0), ("0", "64"), (0,), (0, 64, 96), (), None, {}, "0-64", True,
    ):  # fmt: skip
        yield f"the offsets {wrong}", headed(entry(offsets=wrong))
    for wrong in (
        (2, 2, -8), (-2, -2, 8), (2**31, 2**31, 2**31), (2**62, 4, 8), (2**64, 1, 1), (2, 2, 7), (32,), (), (2, 16),
        (1, 2, 2, 8), (2, 2, 8.0), ("2", "2", "8"), None, "2,2,8", {"0": 2}, (True, 4, 8), (0, 2, 8),
    ):  # fmt: skip
        yield f"the shape {wrong}", headed(entry(shape=wrong))
    for wrong in ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "I16", "BF16 ", "f16", "O", "", None, 16):
        yield f"the dtype {wrong}", headed(entry(dtype=wrong))
    yield "one tensor upon the other", headed(b=entry(shape=(2, 4, 2), offsets=(0, 32)))
    yield "a hole between tensors", headed(a=entry(shape=(2, 2, 4), offsets=(0, 32)))


def values() -> Iterator[tuple[str, bytes]]:
    """Tensors of the right form with one number that poisons every sum."""
    dtypes = (torch.float16, torch.bfloat16, torch.float32)
    for poison, dtype, factor, place in product(("nan", "inf", "-inf"), dtypes, "ab", (0, -1)):
        found = tensors(dtype=dtype)
        found[f"{SITE}/{factor}"].view(-1)[place] = float(poison)
        yield f"{poison} as {dtype} in {factor} at {place}", pack(found)


def stacks() -> Iterator[tuple[str, bytes]]:
    """Tensors that are no stack of experts."""
    a, b = tensors().values()
    for what, one, other in (
        ("unequal ranks", a, torch.ones(2, 4, 3).half()),
        ("too few slots", a[:1], b[:1]),
        ("too many slots", torch.ones(3, 2, 8).half(), torch.ones(3, 4, 2).half()),
        ("unequal slots", a, torch.ones(3, 4, 2).half()),
        ("two dimensions", torch.ones(2, 16).half(), b),
        ("four dimensions", torch.ones(2, 2, 8, 1).half(), b),
        ("no dimension", torch.ones(()).half(), b),
        ("rank zero", torch.ones(2, 0, 8).half(), torch.ones(2, 4, 0).half()),
        ("width zero", torch.ones(2, 2, 0).half(), b),
        ("unequal dtypes", a.float(), b),
        ("whole numbers", a.int(), b.int()),
        ("doubles", a.double(), b.double()),
        ("complex numbers", a.to(torch.complex64), b.to(torch.complex64)),
        ("truth values", a.bool(), b.bool()),
    ):
        yield what, pack({f"{SITE}/a": one, f"{SITE}/b": other})
    yield "no tensors", pack({})
    yield "no a", pack({f"{SITE}/b": b})
    yield "no b", pack({f"{SITE}/a": a})
    yield "a third factor", pack({**tensors(), f"{SITE}/c": a.clone()})
    yield "a loose tensor", pack({**tensors(), "loose": a.clone()})
    for site in (
        "", "/", "..", "../../outside/canary", "/etc/passwd", ".hidden", "a..b", "a.", "a b", "a\x00b", "a\nb",
        "\x1b[31mred", "C:\\x", "~/x", "$(touch x)", "%s%n", "é\u202e", "a/b",
    ):  # fmt: skip
        yield f"the site {site!r}", pack(tensors(site))


def tables() -> Iterator[tuple[str, bytes]]:
    """Slot tables that say too much, too little, or something else."""
    for text in ("", "not JSON", "null", "[]", "{}", '"x"', "1e999", "[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000):
        yield f"the table {text[:10]!r}", pack(metadata={TABLE: text})
    yield "someone else's metadata", pack(metadata={"format": "pt"})
    yield "a table and more", pack(metadata={TABLE: table(), "format": "pt"})
    yield "white space in the table", pack(metadata={TABLE: table().replace(":", ": ")})
    yield "a number that is none", pack(metadata={TABLE: table().replace('"r"', "NaN")})
    yield "a number of 5,000 digits", pack(metadata={TABLE: table().replace('"r"', "9" * 5000)})
    yield "a lone surrogate", pack(metadata={TABLE: table().replace('"r"', r'"\ud800"')})
    yield "a key twice", pack(metadata={TABLE: table().replace('"base":"b"', '"base":"b","base":"c"')})
    for name in ("format", "base", "recipe", "slots"):
        for value in (None, 7, [], {}, ""):
            yield f"{name} is {value!r}", pack(metadata={TABLE: table(**{name: value})})
    yield "a later format", pack(metadata={TABLE: table(format="lifelong-pack/2")})
    yield "a format with an escape", pack(metadata={TABLE: table(format="\x1b[2J\n")})
    yield "an unknown key", pack(metadata={TABLE: table(path="../../outside/canary")})
    wrong: dict[str, Sequence[Any]] = {
        "hash": (
            None, 7, "", [], "hash", HASHES[1], HASHES[0].upper(), HASHES[0][:-1], HASHES[0] + "\n",
            "md5:" + "0" * 32, "../../outside/canary", "sha256:" + "../" * 21 + "x", "sha256:" + "\uff10" * 64,
        ),
        "facts": (None, 7, "fact-0", [], {}, [7], [None], [[]], [""]),
        "kind": (None, 7, "", [], {}, "value", "LOWRANK", "__import__('os').system('touch x')", "\x1b[31m"),
        "path": ("../../outside/canary",),
    }  # fmt: skip
    for name, choices in wrong.items():
        for value in choices:
            first, second = slots()
            yield f"a slot's {name} is {value!r}", pack(metadata={TABLE: table(slots=[{**first, name: value}, second])})
    for what, value in (("text", ["x", "y"]), ("lists", [[], []]), ("nothing in it", [{}, {}])):
        yield f"a table of slots with {what}", pack(metadata={TABLE: table(slots=value)})


HOSTILE = [*frames(), *offsets(), *values(), *stacks(), *tables()]
NAMES = (
    "", ".", "..", "../secrets", "../../outside/canary", "/etc/passwd", "~", "a" * 63, "a" * 65, "A" * 64, "g" * 64,
    "a" * 64 + "\n", "\n" + "a" * 64, "../" + "a" * 61, "a" * 63 + "/", "a" * 63 + "\x00", "é" * 64, "\uff10" * 64,
    "$HOME", "CON", "a" * 5000, "0x" + "a" * 62, "*" * 64,
)  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nothing may touch; it is the working directory too, where a bomb would leave its mark."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "canary").write_text("untouched")
    monkeypatch.chdir(folder)
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"canary": "untouched"}


@pytest.fixture
def experts(tmp_path: Path, outside: Path) -> Path:
    folder = tmp_path / "home" / "experts"
    folder.mkdir(parents=True)
    return folder


def stored(directory: Path, content: bytes) -> str:
    """Put bytes where a pack of that name would lie, as someone who knows the naming rule could."""
    name = hashlib.sha256(content).hexdigest()
    pack_path(directory, name).write_bytes(content)
    return name


def refused(act: Callable[[], object], kind: type[LifelongError] = IntegrityError) -> None:
    """The act ends in an error of that kind, told in one short sentence that cannot harm a terminal."""
    with pytest.raises(kind) as caught:
        act()
    told = str(caught.value)
    assert told.isprintable(), told
    assert len(told) < 600
    assert caught.value.exit_code in (6, 2)


def sound_expert() -> Expert:
    a, b = tensors().values()
    return Expert(("fact-0",), {SITE: LowRank(a[0], b[0])}, "recipe", "base")


def test_there_are_at_least_200_and_all_differ() -> None:
    assert len({content for _, content in HOSTILE}) == len(HOSTILE) >= 200
    assert len({what for what, _ in HOSTILE}) == len(HOSTILE)


def test_what_they_were_made_from_is_sound(experts: Path) -> None:
    """Or they would be refused for some other reason than theirs."""
    assert read_pack(experts, stored(experts, pack())).hashes == tuple(HASHES)
    assert read_pack(experts, stored(experts, headed())).hashes == tuple(HASHES)


def test_hostile_packs_are_refused(experts: Path) -> None:
    for what, content in HOSTILE:
        name = stored(experts, content)
        try:
            refused(lambda name=name: read_pack(experts, name))  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"the pack with {what}")
            raise
        assert [path.name for path in experts.iterdir()] == [f"{name}.safetensors"]
        pack_path(experts, name).unlink()
    print(f"hostile packs: {len(HOSTILE)} refused, each in one sentence with exit code 6, nothing written")


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_never_becomes_a_path(experts: Path, name: str) -> None:
    refused(lambda: read_pack(experts, name))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(experts: Path, make: Callable[[Path], None]) -> None:
    """Reading a pipe or /dev/zero would never end."""
    make(pack_path(experts, "a" * 64))
    refused(lambda: read_pack(experts, "a" * 64))


@pytest.mark.parametrize("target", ["canary", "missing", "."])
def test_a_link_in_place_of_a_pack_is_neither_believed_nor_written_through(
    experts: Path, outside: Path, target: str
) -> None:
    name = write_pack(experts, [sound_expert()])
    path = pack_path(experts, name)
    path.unlink()
    path.symlink_to(outside / target)
    refused(lambda: read_pack(experts, name))
    if target == ".":
        with pytest.raises(OSError) as caught:
            write_pack(experts, [sound_expert()])
        assert caught.value.errno == errno.EISDIR
    else:
        assert write_pack(experts, [sound_expert()]) == name
        assert not path.is_symlink()
        assert len(read_pack(experts, name)) == 1


def test_a_link_that_leads_to_itself_is_refused(experts: Path) -> None:
    path = pack_path(experts, "a" * 64)
    path.symlink_to(path)
    refused(lambda: read_pack(experts, "a" * 64))


@pytest.mark.parametrize("site", ["lm_head.weight", "model", "model.layers.9.mlp.down_proj", "__class__", "forward"])
def test_a_site_that_the_base_does_not_have_is_refused(base: Base, experts: Path, site: str) -> None:
    record = table(base=base.fingerprint)
    found = read_pack(experts, stored(experts, pack(tensors(site), {TABLE: record})))
    refused(lambda: Bank(base, [found]))


def test_widths_that_do_not_fit_the_base_are_refused(base: Base, experts: Path) -> None:
    found = read_pack(experts, stored(experts, pack(metadata={TABLE: table(base=base.fingerprint)})))
    refused(lambda: Bank(base, [found]))


def test_experts_of_another_base_are_refused(base: Base, experts: Path) -> None:
    found = read_pack(experts, stored(experts, pack()))
    refused(lambda: Bank(base, [found]))


@pytest.mark.parametrize("there", ["missing", "canary", "."])
def test_nothing_is_exported_through_a_link(tmp_path: Path, outside: Path, published: Workspace, there: str) -> None:
    ref = published.log.facts()[0].ref
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / ref).symlink_to(outside / there)
    refused(lambda: published.export_peft(tmp_path / "adapters", refs=[ref]), UsageError)


def test_no_fact_is_named_by_a_path(tmp_path: Path, published: Workspace) -> None:
    for name in filter(lambda name: len(name) < 100, NAMES):
        refused(lambda name=name: published.export_peft(tmp_path / "adapters", refs=[name]), UsageError)  # type: ignore[misc]
    assert not (tmp_path / "adapters").exists()
