"""Bytes that rot or go missing: noticed with exit code 6, or without effect on anything that is read. Never silent.

The short run is a sample of the full one; `-m crash` makes 1,000 flips and 100 cuts and prints the count. A failure
names its seed: `damaged(seed)` does the same again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import pytest
from faults import die

from editlog.errors import IntegrityError
from editlog.fact import Fact
from editlog.store import EditLog

DATABASE, WAL = "edits.duckdb", "edits.duckdb.wal"
FLIPPED = (DATABASE, DATABASE, WAL, WAL, "HEAD", "LENGTH")


@dataclass(frozen=True)
class Settled:
    """A log after its last writer has closed it, and one whose last writer died with the commit in the WAL."""

    closed: Path
    open: Path

    def of(self, name: str) -> Path:
        return self.open if name == WAL else self.closed

    @cached_property
    def seen(self) -> dict[Path, Any]:
        """What an undamaged reader sees of each."""
        return {
            path: read(shutil.copytree(path, path.with_name(f"{path.name}-read"))) for path in (self.closed, self.open)
        }


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    folder = tmp_path_factory.mktemp("settled")
    log = EditLog.create(folder / "closed", actor="ada")
    log.ingest([Fact(prompt=f"Prompt number {n} is", target=f"target {n}") for n in range(200)], actor="ada")
    log.retract(["f7"], actor="ada", reason="wrong")
    shutil.copytree(folder / "closed", folder / "open")
    unfinished = EditLog(folder / "open")
    more = [Fact(prompt=f"One more, number {n}, is", target=f"target {n}") for n in range(40)]
    die(lambda: unfinished.ingest(more, actor="ada"), "close.before")
    return Settled(folder / "closed", folder / "open")


def read(directory: Path) -> Any:
    """All that can be read of a log: None where reading it, or verifying it, says that it is damaged."""
    try:
        log = EditLog.open(directory)
        seen = [(event.seq, event.hash, event.body) for event in log.events()], log.facts()
        return None if log.verify() else seen
    except IntegrityError:
        return None


def flip(raw: bytearray, random: Random) -> None:
    """One byte changed: a bit of it, or all of them, or 0xFF, which is what a size field fears most."""
    at = random.randrange(len(raw)) if random.random() < 0.5 else random.randrange(min(len(raw), 65536))
    was = raw[at]
    raw[at] = random.choice([was ^ 1 << random.randrange(8), was ^ 0xFF, 0xFF, 0])
    if raw[at] == was:
        raw[at] ^= 1


def cut(raw: bytearray, random: Random) -> None:
    """The end cut off, anywhere."""
    del raw[random.randrange(len(raw)) :]


def lengthen(raw: bytearray, random: Random) -> None:
    """Something behind the end."""
    raw.extend(random.randbytes(random.randrange(1, 5000)))


def damaged(settled: Settled, seed: int, scratch: Path, kinds: tuple[Any, ...]) -> tuple[str, str]:
    """One seeded damage: which file, and what came of it: noticed, no effect, or silent."""
    random = Random(seed)
    name, harm = random.choice(FLIPPED), random.choice(kinds)
    directory = scratch / str(seed)
    shutil.copytree(settled.of(name), directory)
    raw = bytearray((directory / name).read_bytes())
    harm(raw, random)
    (directory / name).write_bytes(raw)
    try:
        seen = read(directory)
        if seen is None:
            kept = (directory / name).read_bytes() == raw
            return name, "noticed" if kept else "noticed, but the evidence is gone"
        return name, "no effect" if seen == settled.seen[settled.of(name)] else "silent"
    finally:
        shutil.rmtree(directory)


def count(settled: Settled, scratch: Path, seeds: range, kinds: tuple[Any, ...]) -> Counter[tuple[str, str]]:
    """What came of many damages; the silent ones by seed."""
    found: Counter[tuple[str, str]] = Counter()
    wrong = []
    for seed in seeds:
        name, outcome = damaged(settled, seed, scratch, kinds)
        found[name, outcome] += 1
        if outcome not in ("noticed", "no effect"):
            wrong.append((seed, name, outcome))
    assert wrong == []
    return found


def told(found: Counter[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {outcome} {number}" for (name, outcome), number in sorted(found.items()))


@pytest.mark.parametrize("kinds", [(flip,), (cut, lengthen)], ids=["flips", "cuts"])
def test_sampled_damage_is_never_silent(settled: Settled, tmp_path: Path, kinds: tuple[Any, ...]) -> None:
    found = count(settled, tmp_path, range(20), kinds)
    assert sum(number for (_, outcome), number in found.items() if outcome == "noticed") > 5


@pytest.mark.crash
def test_1000_flips_and_100_cuts_are_never_silent(settled: Settled, tmp_path: Path) -> None:
    print("1,000 flips:", told(count(settled, tmp_path, range(1000), (flip,))))
    print("100 cuts:", told(count(settled, tmp_path, range(5000, 5100), (cut,))))


@pytest.mark.crash
def test_every_byte_of_head_and_every_length_of_the_write_ahead_log(settled: Settled, tmp_path: Path) -> None:
    """No byte of HEAD goes unchecked; a write-ahead log cut anywhere is noticed, wherever a record may end."""
    for at in range(len((settled.closed / "HEAD").read_bytes())):
        directory = shutil.copytree(settled.closed, tmp_path / f"head-{at}")
        raw = bytearray((directory / "HEAD").read_bytes())
        raw[at] ^= 0x20
        (directory / "HEAD").write_bytes(raw)
        assert read(directory) is None, at
        shutil.rmtree(directory)
    whole = (settled.open / WAL).read_bytes()
    for length in sorted({*range(0, len(whole), max(1, len(whole) // 150)), *range(len(whole) - 20, len(whole))}):
        directory = shutil.copytree(settled.open, tmp_path / f"wal-{length}")
        (directory / WAL).write_bytes(whole[:length])
        assert read(directory) is None, length
        shutil.rmtree(directory)
