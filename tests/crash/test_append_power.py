"""What is appended to the witness's file and to the response log survives a power failure, whoever made the file.

The file, and its folder, may have been made by a process that was killed before their names were durable: the next one
must not take them for granted, however often that happens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation, violations, without

# Each process but the last is killed somewhere on its way; only what the last one says is acknowledged.
APPEND = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from editlog import durable, failpoints
from editlog.responses import Response, append_responses
from editlog.witness import TreeHead, Witness

home, at = Path(sys.argv[1]), datetime(2026, 11, 21, tzinfo=UTC)
head = TreeHead("0" * 32, 1, "sha256:" + "0" * 64, "sha256:" + "0" * 64, "2026-11-21T00:00:00.000000Z")
response = Response(at, "r-1", None, "The mayor is", "one", None, None, None, None, "ab" * 16, None)

def tell(folder):
    durable.make_directory(folder)
    Witness(folder / "lines.jsonl").tell(head)

def record(folder):
    append_responses(folder, [response])

def killed(act, point):
    child = os.fork()
    if not child:
        os.environ[failpoints.VARIABLE] = point
        act()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137, point

for number, point in enumerate({points}):
    folder = home / str(number)
    killed(lambda: {act}(folder), point)
    {act}(folder)
    (home / "ACK").open("w").close()
"""
POINTS = (
    "directory.make.after",
    "directory.sync_directory.before",
    "{name}.sync_directory.before",
    "{name}.append.before",
    "{name}.append.after",
    "{name}.sync.after",
)
WAYS = {"witness": "tell", "responses": "record"}


def program(name: str) -> str:
    points = [point.format(name=name) for point in POINTS]
    return APPEND.replace("{points}", repr(points)).replace("{act}", WAYS[name])


def violation(crash: Crash, home: Path) -> str | None:
    """Which acknowledged line a power failure has taken; None where each is there."""
    crash.write(home)
    for number in range(crash.acknowledged):
        lines = [line for path in (home / str(number)).glob("*.jsonl") for line in path.read_bytes().splitlines()]
        if not any(line.startswith(b"{") and line.endswith(b"}") for line in lines):
            return f"{crash.what}: the line that was acknowledged behind {POINTS[number]} is lost"
    return None


@pytest.mark.parametrize("name", WAYS)
def test_what_is_appended_survives_a_power_failure(
    record: Callable[[str], list[Operation]], tmp_path: Path, name: str
) -> None:
    crashes = list(powerloss.crashes(record(program(name))))
    assert list(violations(crashes, violation, tmp_path / "home")) == []
    print(f"power failure while the {name} is appended to: {len(crashes)} distinct trees, no acknowledged line lost")


@pytest.mark.crash
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("site", ["directory.sync_directory", "{name}.sync_directory", "{name}.sync"])
def test_without_any_one_fsync_an_appended_line_is_lost(
    record: Callable[[str], list[Operation]], tmp_path: Path, name: str, site: str
) -> None:
    crashes = powerloss.crashes(record(without(site.format(name=name), program(name))))
    assert next(violations(crashes, violation, tmp_path / "home"), None)
