"""One workspace made by the real thing: a dozen facts, trained, audited, published."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from terminal import FACTS, ROOT, Cli


@pytest.fixture(scope="session")
def records() -> list[dict[str, Any]]:
    """The first facts of the examples, as they stand in the file."""
    lines = (ROOT / "examples" / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:FACTS]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> Path:
    """A workspace with the facts published. Not to be changed: see `copy`."""
    place = tmp_path_factory.mktemp("cli") / "workspace"
    call = Cli(place)
    assert call("init", "--actor", "ada").code == 0
    lines = "\n".join(json.dumps(record) for record in records)
    assert call("ingest", "-", "--actor", "ada", "--reason", "a first dozen", stdin=lines).code == 0
    assert call("run", "--actor", "night").code in (0, 3)
    return place


@pytest.fixture(scope="session")
def call(home: Path) -> Cli:
    """Call a command that only reads."""
    return Cli(home)


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Cli:
    """Call commands in a copy of the workspace, to change it."""
    place = tmp_path / "copy"
    shutil.copytree(home, place)
    return Cli(place)


@pytest.fixture(scope="session")
def edited(call: Cli, records: list[dict[str, Any]]) -> dict[str, Any]:
    """A record whose edit is published, by the log's own word."""
    applied = call("log", "list", "--kind", "facts.applied", "--json").json
    ref = f"f{min(one['fact'] for event in applied for one in event['body']['facts'])}"
    record: dict[str, Any] = call("fact", "show", ref, "--json").json["record"]
    return {"ref": ref, **record}
