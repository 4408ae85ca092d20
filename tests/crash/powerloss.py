"""What a power failure may leave of a process's writes: record them, drop what was not synced, look at the rest.

`record` runs a Python program under `recorder.c`, which sees every write, fsync, rename and unlink, DuckDB's too.
`crashes` replays the recording up to each cut and yields the directory trees that a file system may then hold, in
the manner of ALICE (Pillai et al., OSDI 2014): a write or truncation is durable once its file is synced, a name once
its directory is; of what is not, anything may be there: all, nothing, all but one, one alone, contents without names,
names without contents, the last write by half. A program says that something is acknowledged by making the file
`ACK` in the recorded directory once more.

What must hold in each tree is a function from a `Crash` to what is wrong there, or None; `violations` asks it of many,
and `without` takes one fsync out of a program, so that a test can show what that one is for.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).with_name("recorder.c")
ROOT = Path(__file__).parents[2]
ACK = "ACK"
NAMES = frozenset({"create", "mkdir", "rename", "unlink"})
NEVER_MATTER = frozenset({"LOCK", "TURN", ACK})

_WITHOUT = """
import os
from editlog import failpoints

passed, fsync, hit = [""], os.fsync, failpoints.hit
failpoints.hit = lambda name: (passed.__setitem__(0, name), hit(name))
os.fsync = lambda descriptor: None if passed[0] == "{site}.before" else fsync(descriptor)
"""


class Operation(NamedTuple):
    """One recorded call; `path` and `path2` are relative to the recorded directory."""

    op: str
    inode: int
    offset: int
    data: bytes
    path: str
    path2: str


@dataclass(frozen=True)
class Crash:
    """A tree that may be found after a power failure: files by path, and how much was acknowledged before it."""

    files: dict[str, bytes]
    directories: frozenset[str]
    acknowledged: int
    what: str

    def write(self, directory: Path) -> Path:
        """Lay the tree out below `directory`, in place of what is there."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in sorted(self.directories):
            (directory / name).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return directory


def compiled(directory: Path) -> Path:
    """The recorder as a shared library; skips the test where it cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("recording file operations needs Linux and a C compiler")
    library = directory / "recorder.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def record(library: Path, directory: Path, program: str) -> list[Operation]:
    """Run a Python program in a process of its own and return what it did to files below `directory`."""
    recording = library.with_name("recording")
    recording.unlink(missing_ok=True)
    known = {path.stat().st_ino: number for number, path in enumerate(_paths(directory))}
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "RECORD_DIRECTORY": str(directory),
        "RECORD_FILE": str(recording),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, "-c", program, str(directory)], env=environment, check=True, cwd=ROOT)
    return list(_parsed(recording.read_bytes(), str(directory), known))


def without(site: str, program: str) -> str:
    """The program, but that the fsync which stands behind the failpoint of that name is not done."""
    return _WITHOUT.format(site=site) + program


def before(directory: Path) -> list[Operation]:
    """The tree as it lies there, as if it had just been made and synced; to stand in front of a recording."""
    made = []
    for number, path in enumerate(_paths(directory)):
        name = str(path.relative_to(directory))
        op, content = ("mkdir", b"") if path.is_dir() else ("create", path.read_bytes())
        made.append(Operation(op, number, 0, b"", name, ""))
        if content:
            made += [Operation("write", number, 0, content, name, ""), Operation("fsync", number, 0, b"", name, "")]
    folders = [Operation("fsync", one.inode, 0, b"", one.path, "") for one in made if one.op == "mkdir"]
    return [*made, *folders, Operation("fsync", -1, 0, b"", "", "")]


def _paths(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


def _parsed(raw: bytes, directory: str, known: dict[int, int]) -> Iterator[Operation]:
    """The records; an inode number that is used again after an unlink becomes another number."""
    at, fresh = 0, itertools.count(len(known))
    while at < len(raw):
        end = raw.index(b"\n", at)
        op, inode, offset, count, path, path2 = raw[at:end].decode().split("\t")
        at = end + 1 + int(count)
        if op in ("create", "mkdir"):
            known[int(inode)] = next(fresh)
        number, data = known.get(int(inode), -1), raw[end + 1 : at]
        path, path2 = (name.removeprefix(directory).lstrip("/") for name in (path, path2))
        yield Operation(op, number, int(offset), data, path, path2)


def crashes(operations: Sequence[Operation]) -> Iterator[Crash]:
    """Every distinct tree that a power failure at any moment of the recording may leave."""
    seen = set()
    for cut in range(1, len(operations) + 1):
        acknowledged = sum(one.path == ACK and one.op in ("create", "truncate") for one in operations[:cut])
        for what, chosen in _choices(operations, cut):
            files, directories = _replay(chosen)
            key = _digest(files, directories, acknowledged)
            if key not in seen:
                seen.add(key)
                yield Crash(files, directories, acknowledged, f"cut at {cut} of {len(operations)}, {what}")


def violations(
    crashes: Iterable[Crash], violation: Callable[[Crash, Path], str | None], home: Path, *, step: int = 1
) -> Iterator[str]:
    """What is wrong in each `step`-th of the trees, laid out at `home` one after another."""
    sampled = itertools.islice(crashes, 0, None, step)
    return (found for crash in sampled if (found := violation(crash, home)))


def _choices(operations: Sequence[Operation], cut: int) -> Iterator[tuple[str, list[Operation]]]:
    """Which of the operations before a cut have reached the disk: the durable ones, and some of the others."""
    before = operations[:cut]
    pending = _pending(before)
    names = [n for n in pending if before[n].op in NAMES]
    contents = [n for n in pending if before[n].op not in NAMES]
    subsets = {"all there": pending, "nothing unsynced": [], "names only": names, "contents only": contents}
    for n in pending:
        subsets[f"all but {_told(before[n])}"] = [other for other in pending if other != n]
        subsets[f"only {_told(before[n])}"] = [n]
    lost = set(pending)
    for what, kept in subsets.items():
        yield what, [one for n, one in enumerate(before) if n not in lost or n in kept]
    if contents and len(before[contents[-1]].data) > 1:
        torn = before[contents[-1]]
        half = torn._replace(data=torn.data[: len(torn.data) // 2])
        yield f"half of {_told(torn)}", [half if n == contents[-1] else one for n, one in enumerate(before)]


def _told(one: Operation) -> str:
    return f"{one.op} {one.path} {one.path2 or one.offset}"


def _pending(before: Sequence[Operation]) -> list[int]:
    """The numbers of the operations that no later sync has made durable."""
    pending: list[int] = []
    for n, one in enumerate(before):
        if one.op == "fsync":
            pending = [p for p in pending if not _covered(before[p], one)]
        elif _matters(one):
            pending.append(n)
    return pending


def _covered(earlier: Operation, sync: Operation) -> bool:
    """Whether a sync makes an earlier operation durable; no rename in this project is between directories."""
    if earlier.op in NAMES:
        return earlier.path.rpartition("/")[0] == sync.path
    return earlier.inode == sync.inode


def _matters(one: Operation) -> bool:
    return Path(one.path).name not in NEVER_MATTER


def _replay(operations: Sequence[Operation]) -> tuple[dict[str, bytes], frozenset[str]]:
    """The tree that these operations make."""
    contents: dict[int, bytearray] = {}
    names: dict[str, int] = {}
    directories: set[str] = set()
    for one in operations:
        content = contents.setdefault(one.inode, bytearray())
        match one.op:
            case "create":
                names[one.path] = one.inode
            case "mkdir":
                directories.add(one.path)
            case "write":
                content.extend(bytes(max(0, one.offset - len(content))))
                content[one.offset : one.offset + len(one.data)] = one.data
            case "truncate":
                content.extend(bytes(max(0, one.offset - len(content))))
                del content[one.offset :]
            case "rename" if one.path in directories or one.path2 in directories:
                _move(names, directories, one)
            case "rename":
                names[one.path2] = one.inode
                names.pop(one.path, None)
            case "unlink":
                names.pop(one.path, None)
                directories.discard(one.path)
    files = {
        name: bytes(contents[inode])
        for name, inode in names.items()
        if Path(name).name not in NEVER_MATTER and _reachable(name, directories)
    }
    return files, frozenset(name for name in directories if _reachable(name, directories))


def _reachable(name: str, directories: set[str]) -> bool:
    """Whether all folders above a name are there: without them, what is durable in them is lost all the same."""
    return all(str(folder) in directories for folder in Path(name).parents if folder.name)


def _move(names: dict[str, int], directories: set[str], one: Operation) -> None:
    """Rename a directory with all that is in it."""
    directories.discard(one.path)
    directories.add(one.path2)
    for name in [name for name in names if name.startswith(f"{one.path}/")]:
        names[one.path2 + name.removeprefix(one.path)] = names.pop(name)


def _digest(files: dict[str, bytes], directories: frozenset[str], acknowledged: int) -> bytes:
    digest = hashlib.sha256(repr((sorted(directories), acknowledged)).encode())
    for name, content in sorted(files.items()):
        digest.update(repr((name, len(content))).encode() + content)
    return digest.digest()


def final_tree(operations: Sequence[Operation]) -> dict[str, bytes]:
    """What the whole recording amounts to: must be what lies on disk, or the recorder has missed something."""
    return _replay(operations)[0]
