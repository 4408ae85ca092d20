"""An auditor's console answers questions to the views, and nothing that is said to it has any other effect."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostile import BOMBS, DEAF, hostile_statements

from editlog.console import Request, answer, open_console
from editlog.errors import LifelongError, UsageError
from editlog.events import Entry
from editlog.fact import Fact
from editlog.query import query
from editlog.store import EditLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXPERT = "sha256:" + "0a" * 32


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> EditLog:
    """A log with two facts, one of them applied."""
    log = EditLog.create(tmp_path_factory.mktemp("told") / "log", actor="ada")
    log.ingest([Fact(prompt=f"Prompt {number} is", target="one", source="atlas") for number in (1, 2)], actor="ada")
    applied = Entry("facts.applied", {"facts": [{"fact": 3, "expert": EXPERT}], "pack": "ab"})
    log.append([applied], actor="cron", job="job-1")
    return log


@pytest.fixture(scope="module")
def console(told: EditLog) -> DuckDBPyConnection:
    """The sandbox's inside, in this process: what the kernel adds is tested by `query` below."""
    moment = datetime.now(UTC).isoformat()
    head = told.head().seq
    return open_console(Request(str(told.directory), "", head, moment, timeout=5.0, rows=10, memory=128 * 2**20))


def listed(directory: Path) -> list[tuple[str, int, int]]:
    """Every file under a directory, with its size and time of change."""
    return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in directory.rglob("*") if p.name != "LOCK")


def test_three_hundred_hostile_statements_have_no_effect(
    console: DuckDBPyConnection, told: EditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nxyzzy\n", encoding="utf-8")
    before, position = listed(tmp_path), told.head()
    statements = hostile_statements(str(secret))
    assert len(set(statements)) >= 275
    for statement in statements:
        with pytest.raises(LifelongError) as refused:
            answer(console, statement, timeout=5.0, rows=10)
        sentence = str(refused.value)
        assert sentence, statement
        assert "\n" not in sentence, statement
        assert "xyzzy" not in sentence, statement
    assert listed(tmp_path) == before
    assert told.head() == position
    still, _ = answer(console, "SELECT fact, status FROM facts ORDER BY seq", timeout=5.0, rows=10)
    assert still.to_pylist() == [{"fact": "f3", "status": "applied"}, {"fact": "f4", "status": "pending"}]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_under_its_limit(console: DuckDBPyConnection, bomb: str) -> None:
    began = time.process_time()
    try:
        _, cut = answer(console, bomb, timeout=0.15, rows=10)
        assert cut
    except LifelongError as error:
        assert len(str(error).splitlines()) == 1
    assert time.process_time() - began < 3


def test_there_are_three_hundred_of_them(tmp_path: Path) -> None:
    assert len({*hostile_statements(str(tmp_path)), *BOMBS, *DEAF}) >= 300


@pytest.mark.parametrize("deaf", DEAF)
def test_what_no_interrupt_reaches_is_ended_by_the_kernel(told: EditLog, deaf: str) -> None:
    with pytest.raises(LifelongError, match=r"longer than 0\.2 s|more memory|more than it may"):
        query(told, deaf, timeout=0.2, memory=64 * 2**20)


def test_an_answer_is_cut_at_its_rows_and_says_so(told: EditLog) -> None:
    result = query(told, "SELECT range FROM range(1000000000)", rows=3)
    assert ([row["range"] for row in result.to_dicts()], result.cut) == ([0, 1, 2], True)
    result = query(told, "SELECT fact, prompt FROM facts", rows=2)
    assert (len(result.to_dicts()), result.cut) == (2, False)


def test_the_secrets_of_commitments_and_the_probes_are_not_there(console: DuckDBPyConnection) -> None:
    columns = answer(console, "DESCRIBE facts", timeout=5.0, rows=100)[0].column("column_name").to_pylist()
    assert "prompt" in columns
    assert not {"secret", "digest", "probes"} & set(columns)


def test_a_query_looks_back_by_number_job_and_time(told: EditLog) -> None:
    ask = "SELECT status FROM facts WHERE fact = 'f3'"
    assert query(told, ask, as_of=4).to_dicts() == [{"status": "pending"}]
    assert query(told, ask, as_of="job-1").to_dicts() == [{"status": "applied"}]
    assert query(told, ask, as_of=told.events(after=1, limit=1)[0].at).to_dicts() == [{"status": "pending"}]
    with pytest.raises(UsageError, match="no event, job or moment"):
        query(told, ask, as_of="job-9")


def test_rows_are_plain_json_data(told: EditLog) -> None:
    asked = "SELECT 1 AS x, 2 AS x, 'nan'::DOUBLE AS n, TIMESTAMP '2026-11-21 12:00' AS t, [DATE '2026-11-21'] AS l"
    assert query(told, asked).to_dicts() == [
        {"x": 1, "x_1": 2, "n": None, "t": "2026-11-21T12:00:00.000000Z", "l": ["2026-11-21"]}
    ]


def test_the_console_is_not_taken_from_the_current_directory(
    told: EditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "editlog").mkdir()
    (tmp_path / "editlog" / "__init__.py").write_text("raise SystemExit('taken over')", encoding="utf-8")
    (tmp_path / "pyarrow.py").write_text("raise SystemExit('taken over')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    assert query(told, "SELECT count(*) AS n FROM facts").to_dicts() == [{"n": 2}]
