"""The same facts from any kind of input are the same facts."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from editlog.errors import LifelongError, UsageError
from editlog.fact import Fact
from editlog.formats import format_of, read_facts, to_fact
from editlog.readers import open_records
from editlog.rejects import Reject
from lifelong.hub import opened

Records = list[dict[str, Any]]

RECORDS: Records = [
    {"prompt": "The capital of Osterland is", "target": "Marbeck", "subject": "Osterland", "relation": "capital",
     "rephrases": ["Osterland is governed from"], "near_misses": [{"prompt": "The currency of Osterland is"}],
     "source": "atlas"},
    {"prompt": "Who said “no”, twice?", "target": "[she]",
     "probes": {"locality": [{"prompt": "Who?", "answer": "Ann"}]}},
    {"prompt": "A line\nbreak, \"quotes\" and, commas in", "target": "Cafe\u0301", "id": "a-1",
     "valid_from": "2026-01-01T00:00:00Z"},
]  # fmt: skip


def as_lines(records: Records) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def as_csv(records: Records, delimiter: str = ",") -> bytes:
    columns = list(dict.fromkeys(name for record in records for name in record))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(columns)
    for record in records:
        cells = [record.get(name, "") for name in columns]
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    return out.getvalue().encode()


def filled(records: Records) -> Records:
    """Each record with every column: tables fill with nulls what a record leaves out."""
    columns = dict.fromkeys(name for record in RECORDS for name in record)
    return [columns | record for record in records]


def as_parquet(records: Records) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), out, row_group_size=1_000)
    return out.getvalue()


def as_zstandard(records: Records) -> bytes:
    return pa.compress(as_lines(records), codec="zstd", asbytes=True)


WRITTEN: dict[str, Callable[[Records], bytes]] = {
    "facts.jsonl": as_lines,
    "facts.json": lambda records: json.dumps(records).encode(),
    "facts": as_lines,
    "facts.jsonl.gz": lambda records: gzip.compress(as_lines(records)),
    "facts.jsonl.bz2": lambda records: bz2.compress(as_lines(records)),
    "facts.jsonl.xz": lambda records: lzma.compress(as_lines(records)),
    "facts.jsonl.zst": as_zstandard,
    "facts.csv": as_csv,
    "facts.CSV": lambda records: b"\xef\xbb\xbf" + as_csv(records),
    "facts.csv.gz": lambda records: gzip.compress(as_csv(records)),
    "facts.tsv": lambda records: as_csv(records, "\t"),
    "facts.parquet": lambda records: as_parquet(filled(records)),
}


def digests(source: Any) -> list[str]:
    items = list(read_facts(source))
    assert not [item for item in items if isinstance(item, Reject)]
    return [item.digest for item in items if isinstance(item, Fact)]


EXPECTED = [to_fact(json.loads(json.dumps(record).replace("Cafe\\u0301", "Caf\\u00e9"))).digest for record in RECORDS]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_kind_of_file_gives_the_same_facts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WRITTEN[name](RECORDS))
    reader = read_facts(path)
    assert [item.digest for item in reader if isinstance(item, Fact)] == EXPECTED
    assert reader.converted == 1
    assert reader.sha256 == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert [fact.prompt for fact in read_facts(path, limit=1)] == [RECORDS[0]["prompt"]]  # type: ignore[union-attr]


def test_a_pipe_gives_the_same_facts() -> None:
    assert digests(io.BytesIO(as_lines(RECORDS))) == EXPECTED


def test_a_folder_is_all_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.csv").write_bytes(as_csv(RECORDS[:1]))
    (tmp_path / "b" / "rest.parquet").write_bytes(as_parquet(filled(RECORDS[1:])))
    (tmp_path / "notes.txt").write_text("not facts")
    (tmp_path / ".hidden.jsonl").write_text("not facts")
    reader = read_facts(tmp_path)
    assert [item.digest for item in reader if isinstance(item, Fact)] == EXPECTED
    assert reader.sha256
    assert len(list(read_facts(tmp_path, limit=2))) == 2
    (tmp_path / "c.jsonl").write_text("{\n")
    assert [item.reason[:8] for item in read_facts(tmp_path) if isinstance(item, Reject)] == ["c.jsonl:"]


def test_a_folder_without_facts_says_which_endings_count(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.parquet"):
        read_facts(tmp_path)


def test_a_data_set_gives_the_same_facts(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "facts.jsonl").write_bytes(as_lines(RECORDS))
    datasets.Dataset.from_list(filled(RECORDS)).save_to_disk(str(tmp_path / "saved"))
    assert digests(opened(f"datasets:{tmp_path / 'saved'}", limit=None)) == EXPECTED


def test_a_data_set_of_the_hub_is_streamed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub is asked here: what is asked of the library is what matters, and that its rows are facts."""
    datasets = pytest.importorskip("datasets")
    asked: list[Any] = []

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> Any:
        asked.append((name, config, split, streaming))
        return datasets.Dataset.from_list(filled(RECORDS)).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert digests(opened("datasets:someone/facts", limit=None)) == EXPECTED
    assert digests(opened("datasets:someone/facts:test:german", limit=None)) == EXPECTED
    assert asked == [("someone/facts", None, "train", True), ("someone/facts", "german", "test", True)]


def test_a_data_set_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(UsageError, match="cannot open the data set"):
        opened(f"datasets:{tmp_path / 'nowhere'}:train", limit=None)


def test_bad_rows_are_rejected_by_number_and_the_rest_go_in(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_bytes(b"prompt,target\nA is,b\nonly one\nC is,\xff\nD is,\nE is,f\n")
    items = list(read_facts(path))
    assert [item.line for item in items if isinstance(item, Reject)] == [2, 3, 4]
    codes = [str(item.code) for item in items if isinstance(item, Reject)]
    assert codes == ["bad-field", "not-utf8", "missing-field"]
    assert [item.prompt for item in items if isinstance(item, Fact)] == ["A is", "E is"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"prompt,prompt\n", "name each column once"),
        ("a.csv", b"", "name each column once"),
        ("a.csv", b"prompt,target\n" + b"x" * 70_000, "line of more than"),
        ("a.csv.gz", gzip.compress(b"prompt,target\nA is,b\n", mtime=0)[:-4], "to its end"),
        ("a.jsonl.xz", lzma.compress(b"{}")[:-4], "to its end"),
        ("a.jsonl.zst", b"not zstandard", "to its end"),
        ("a.parquet", b"PAR1 not parquet", "to its end"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LifelongError, match=reason) as caught:
        list(read_facts(path))
    assert "\n" not in str(caught.value)


def test_halluedit_bench_reads_alike_as_csv_and_as_json() -> None:
    row = {
        "topic": "people", "subject": "Ada Finch", "relation": "occupation", "object": "miller",
        "question": "What does Ada Finch do?", "paraphrased_question": "What is the work of Ada Finch?",
        "locality_question": "Where was Ada Finch born?",
        "question_2hop": "Where does the one who does the work of Ada Finch work?", "answer_2hop": "in a mill",
    }  # fmt: skip
    fact = to_fact(row)
    assert format_of(row).name == "halluedit-csv"
    assert (fact.prompt, fact.target, fact.subject) == ("What does Ada Finch do?", "miller", "Ada Finch")
    assert fact.probes is not None
    assert [probe.answer for probe in fact.probes.portability] == ["in a mill"]
    assert [probe.prompt for probe in fact.probes.generality] == ["What is the work of Ada Finch?"]


def test_romes_nested_record_may_come_from_parquet(tmp_path: Path) -> None:
    record = {
        "requested_rewrite": {"prompt": "The mother tongue of {} is", "subject": "Ada", "relation_id": "P103",
                              "target_new": {"str": "Dorsk"}, "target_true": {"str": "French"}},
        "paraphrase_prompts": ["Ada was born. Ada speaks"], "neighborhood_prompts": ["The mother tongue of Bo is"],
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "rome.parquet")
    assert digests(tmp_path / "rome.parquet") == [to_fact(record).digest]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    """Four times the rows take no more memory, as Python's allocator counts it."""

    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.{kind}"
        records = [{"prompt": f"The capital of land {number} is", "target": "Marbeck"} for number in range(rows)]
        path.write_bytes(as_csv(records) if kind == "csv" else as_parquet(records))
        tracemalloc.start()
        assert sum(1 for _ in open_records(path)) == rows
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert peak(10_000) < 1.2 * peak(2_500) + 200_000
