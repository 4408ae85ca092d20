"""Large ingests stay fast, and nothing here drags a model library in."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc

import pyarrow as pa
import pytest

from editlog import ingest, prepared
from editlog.draft import Draft
from editlog.fact import Fact
from editlog.head import Head
from editlog.session import Writer
from editlog.store import EditLog

BULK = 20_000


def test_twenty_thousand_facts_take_seconds(log: EditLog) -> None:
    facts = [Fact(prompt=f"The capital of country {n} is", target=f"City {n}") for n in range(BULK)]
    start = time.process_time()
    assert log.ingest(facts, actor="ada").accepted == BULK
    logged = log.facts()
    assert time.process_time() - start < 8  # under 2 on the slow machine it was written on
    assert [fact.fact.target for fact in logged[:2]] == ["City 0", "City 1"]
    assert (log.directory / "edits.duckdb").stat().st_size < 500 * BULK


def test_a_large_ingest_keeps_no_more_than_a_part_of_it_in_memory(
    log: EditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB holds on to every Arrow table that it was shown in a transaction, were it not shown them one by one."""
    monkeypatch.setattr(prepared, "CHUNK", prepared.ROWS)
    monkeypatch.setattr(ingest, "CHUNK", prepared.ROWS)
    kept, commit = [], Writer.commit

    def measured(writer: Writer) -> Head:
        kept.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
        return commit(writer)

    monkeypatch.setattr(Writer, "commit", measured)
    drafts = (Draft({"prompt": f"The capital of country {n} is", "target": f"City {n}"}) for n in range(8_192))
    with log.prepare(drafts) as ready:
        tracemalloc.start()
        log.ingest(ready, actor="ada")
        tracemalloc.stop()
        assert kept[0] < ready.widest * 4  # of eight


def test_wide_facts_are_handed_over_by_bytes(log: EditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "CHUNK_BYTES", 2**20)
    wide = "Said at length. " * 256
    drafts = [Draft({"prompt": f"{wide}{n} is", "target": "so"}) for n in range(3 * prepared.ROWS)]
    with log.prepare(drafts) as ready:
        tables = list(ready)
        assert [len(table) for table in tables] == [prepared.ROWS] * 3
        assert log.ingest(ready, actor="ada").accepted == len(drafts)
    assert log.verify() == []


@pytest.mark.crash
@pytest.mark.parametrize("written", [3, 20])
def test_a_large_ingest_that_is_killed_leaves_the_log_as_it_was(log: EditLog, written: int) -> None:
    """Long before it commits, a large ingest has written megabytes of words into the database's file."""
    log.ingest([Fact(prompt="The capital of Australia is", target="Canberra")], actor="ada")
    before, database = log.head(), log.directory / "edits.duckdb"
    program = (
        "import sys; from pathlib import Path; from editlog.draft import Draft; from editlog.store import EditLog; "
        "facts = (Draft({'prompt': f'Country {n} is', 'target': f'City {n}'}) for n in range(300_000)); "
        "EditLog(Path(sys.argv[1])).ingest(facts, actor='ada')"
    )
    ingest = subprocess.Popen([sys.executable, "-c", program, str(log.directory)])
    while ingest.poll() is None and database.stat().st_size < written * 2**20:
        time.sleep(0.01)
    ingest.kill()
    assert ingest.wait() < 0, "it was over before it could be killed"
    reopened = EditLog.open(log.directory)
    assert (reopened.head(), reopened.verify()) == (before, [])
    assert reopened.ingest([Fact(prompt="The capital of Chad is", target="N'Djamena")], actor="ada").accepted == 1
    assert reopened.verify() == []
    assert database.stat().st_size < 3 * 2**20, "the words that were never acknowledged are still in the file"


def test_no_model_library_is_imported() -> None:
    program = (
        "import sys; from editlog import export, formats, ingest, lines, store; "
        "loaded = {name.split('.')[0] for name in sys.modules}; "
        "print(sorted(loaded & {'torch', 'transformers', 'faiss', 'lifelong', 'policies'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
