"""Whatever changes a file that must outlive a crash goes through editlog/durable.py, and so passes failpoints.

What need not outlive one stands in a table below, with the reason. A new write fails these tests until it is durable,
or until someone has said why it need not be.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from editlog import durable

ROOT = Path(__file__).parents[2]
IN_ONE_PLACE = {"editlog/durable.py", "editlog/failpoints.py"}
CHANGES = {"fsync", "write_bytes", "write_text", "link", "symlink", "copyfile", "copy", "copy2", "copytree", "truncate"}
RENAMES = {"rename", "replace"}

# How often each module changes files itself, and why a crash may take that away.
ALLOWED: dict[str, tuple[dict[str, int], str]] = {
    "editlog/length.py": ({"write_text": 1, "replace": 1}, "a note: without it HEAD alone says what the log holds"),
    "editlog/lock.py": ({"open": 1}, "a lock file: what counts is the lock"),
    "editlog/recover.py": ({"link": 1, "copyfile": 1}, "the evidence: each file is synced behind it"),
    "editlog/responses.py": ({"open": 1}, "a lock file: what counts is the lock"),
    "editlog/signing.py": ({"open": 2}, "a key file, written and synced as an operation"),
    "editlog/tree.py": ({"write_text": 1, "replace": 1}, "a cache of the Merkle tree, derived anew where it is gone"),
    "editlog/witness.py": ({"write_text": 1, "replace": 1}, "a note of when it was told"),
    "lifelong/cli/log.py": ({"open": 1}, "an export, into a file that the user names"),
    "lifelong/cli/output.py": ({"write_bytes": 1}, "an answer, into a file that the user names"),
    "lifelong/evaluation/reference.py": ({"open": 1}, "answers kept to save time: a line cut off is asked for again"),
    "lifelong/export/merged.py": ({"write_text": 2, "rename": 1}, "an export, into a folder that the user names"),
    "lifelong/verbs/ingesting.py": (
        {"open": 1, "rename": 1},
        "rejected lines: the user has them still, in the file given",
    ),
    "lifelong/jobs/lease.py": ({"open": 3}, "a lock file and who holds it: a crash ends what it says"),
    "lifelong/jobs/rebasing.py": ({"copytree": 1}, "done again by the same command, which a crash leaves unfinished"),
    "lifelong/snapshots/snapshot.py": (
        {"write_bytes": 3, "copyfile": 1},
        "a snapshot's files: publish_directory syncs all before its rename",
    ),
}


def _called(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """Each call: the name it is made on ("" where that is no name), the function's name, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield getattr(node.func.value, "id", ""), node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield "", node.func.id, node


def _mode(call: ast.Call, *, method: bool) -> str:
    """The mode of an `open`, as far as the source says it; "r" where it says nothing."""
    given = [*call.args[0 if method else 1 :], *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return texts[0] if texts else "r"


def changes(source: str) -> Counter[str]:
    """How often a module opens a file to write it, syncs one, renames one or copies one outside of an operation."""
    found: Counter[str] = Counter()
    tree = ast.parse(source)
    inside = within(tree, {"operation"})
    for owner, name, call in _called(tree):
        if owner == "durable" or id(call) in inside:
            continue
        if name == "open":
            method = isinstance(call.func, ast.Attribute)
            if owner == "os" or set("wax+") & set(_mode(call, method=method)):
                found["open"] += 1
        elif name == "copy" and (owner == "copy" or not call.args):
            continue  # of a value: that of a file has a name
        elif name in CHANGES and isinstance(call.func, ast.Attribute):
            found[name] += 1
        elif name in RENAMES and isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords:
            found[name] += 1  # str.replace has two arguments, datetime.replace has none but keywords
    return found


def within(tree: ast.AST, names: set[str]) -> set[int]:
    """What stands inside a `with` block of one of these functions."""
    return {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.With) and names & {name for item in block.items for _, name, _ in _called(item)}
        for statement in block.body
        for node in ast.walk(statement)
    }


def modules() -> Iterator[tuple[str, str]]:
    for package in ("editlog", "policies", "lifelong"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in IN_ONE_PLACE:
                yield name, path.read_text(encoding="utf-8")


def test_files_are_changed_in_one_place_or_for_a_reason() -> None:
    found = {name: counted for name, source in modules() if (counted := changes(source))}
    assert found == {name: Counter(counted) for name, (counted, _) in ALLOWED.items()}


@pytest.mark.parametrize(
    "line",
    [
        "path.open('wb')", "open(path, 'a')", "path.open(mode='x')", "os.open(path, os.O_WRONLY)", "os.fsync(3)",
        "path.write_bytes(b'')", "path.write_text('')", "one.rename(two)", "one.replace(two)", "os.link(a, b)",
        "shutil.copyfile(a, b)", "path.open('r+b')",
    ],
)  # fmt: skip
def test_no_way_to_change_a_file_is_overlooked(line: str) -> None:
    assert sum(changes(line).values()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "path.open()",
        "path.open('rb')",
        "text.replace('a', 'b')",
        "at.replace(tzinfo=UTC)",
        "value.copy()",
        "copy.copy(value)",
        "durable.rename(a, b)",
    ],
)
def test_what_changes_no_file_is_passed_over(line: str) -> None:
    assert not changes(line)


def test_every_operation_on_files_passes_two_points() -> None:
    """In durable.py each function that touches the disk does so inside `operation` or `around`."""
    tree = ast.parse(Path(durable.__file__).read_text(encoding="utf-8"))
    inside = within(tree, {"operation", "around"})
    touching = {"fsync", "replace", "mkdir", "write"}
    for _, name, call in _called(tree):
        if (
            name in touching
            and isinstance(call.func, ast.Attribute)
            and getattr(call.func.value, "id", "") != "durable"
        ):
            assert id(call) in inside, f"line {call.lineno} of durable.py passes no failpoint"
