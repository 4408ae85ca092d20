"""An auditor's rows as a table, JSON, CSV or Parquet, on standard output or in a file: the same rows in each."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from terminal import Cli

from editlog.fact import Fact
from editlog.store import EditLog
from lifelong.config import Config
from lifelong.layout import Layout

QUERY = ("log", "query", "SELECT fact, prompt, target, seq, [1] AS list FROM facts ORDER BY seq")
READS = (
    ("log", "list", "--limit", "3"),
    ("log", "diff", "--from", "1"),
    ("fact", "history", "--subject", "Osterland"),
)


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A workspace without a base model: two facts, one of which took the place of the other, and was retracted."""
    layout = Layout(tmp_path_factory.mktemp("output") / "home")
    layout.home.mkdir()
    layout.config.write_text(Config().to_toml())
    log = EditLog.create(layout.log, actor="ada")
    for target in ("Marbeck", 'Selmouth, "the old"'):
        log.ingest([Fact(prompt="The capital of Osterland is", target=target, subject="Osterland")], actor="ada")
    log.retract(["f5"], actor="bob", reason="wrong")
    return Cli(layout.home)


def rows(call: Cli, read: tuple[str, ...]) -> list[dict[str, Any]]:
    """What --json says, each change of `log diff` as a row of its own."""
    data = call(*read, "--json").json
    if isinstance(data, list):
        return data
    return [{"change": name, **row} for name, part in data.items() if isinstance(part, list) for row in part]


def as_text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


@pytest.mark.parametrize("read", [*READS, QUERY], ids=lambda read: " ".join(read[:2]))
def test_csv_has_the_rows_of_json(call: Cli, read: tuple[str, ...]) -> None:
    found = list(csv.DictReader(io.StringIO(call(*read, "--format", "csv").out, newline="")))
    expected = rows(call, read)
    assert len(found) == len(expected) > 1
    for row, wanted in zip(found, expected, strict=True):
        assert {name: value for name, value in row.items() if value} == {
            name: as_text(value) for name, value in wanted.items() if as_text(value)
        }


@pytest.mark.parametrize("read", READS, ids=lambda read: " ".join(read[:2]))
def test_parquet_has_the_rows_of_json(call: Cli, read: tuple[str, ...], tmp_path: Path) -> None:
    done = call(*read, "--format", "parquet", "--output", str(tmp_path / "rows.parquet"))
    assert (done.code, done.out) == (0, "")
    found = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [{name: as_text(value) for name, value in row.items() if as_text(value)} for row in found] == [
        {name: as_text(value) for name, value in row.items() if as_text(value)} for row in rows(call, read)
    ]


def test_a_change_names_itself(call: Cli) -> None:
    changes = [row["change"] for row in rows(call, READS[1])]
    assert (changes.count("added"), changes.count("superseded"), changes.count("retracted")) == (2, 1, 1)


@pytest.mark.parametrize("read", [*READS, QUERY], ids=lambda read: " ".join(read[:2]))
def test_two_forms_at_once_are_refused(call: Cli, read: tuple[str, ...]) -> None:
    done = call(*read, "--json", "--format", "csv")
    assert (done.code, done.out) == (2, "")
    assert "ask for two forms" in done.err


def test_json_and_a_table_go_into_a_file_too(call: Cli, tmp_path: Path) -> None:
    for form in ("json", "table"):
        shown = call(*READS[0], "--format", form).out
        assert call(*READS[0], "--format", form, "--output", str(tmp_path / form)).out == ""
        assert (tmp_path / form).read_text(encoding="utf-8") == shown != ""
