"""Bytes become records: one good line after another, and a reject with a code for every bad one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tracemalloc
import unicodedata

import pytest

from editlog.errors import LifelongError, UsageError
from editlog.lines import JsonRecords, Record
from editlog.parsing import MAX_RECORD
from editlog.rejects import Code, Reject


def read(data: bytes, **options):
    return list(JsonRecords(io.BytesIO(data), **options))


def values(items):
    return [item.value for item in items if isinstance(item, Record)]


def codes(items):
    return [(item.line, item.code) for item in items if isinstance(item, Reject)]


def test_json_lines_keep_their_line_numbers_across_blank_lines():
    items = read(b'\n{"a": 1}\r\n\n  \n{"a": 2}')
    assert [(item.line, item.value) for item in items] == [(2, {"a": 1}), (5, {"a": 2})]


def test_an_array_is_recognised_by_its_first_byte_and_counted_by_record():
    items = read(b' \n [{"a": [1, {"b": "],[{"}]},\n {"a": 2} ]\n')
    assert [(item.line, item.value) for item in items] == [(1, {"a": [1, {"b": "],[{"}]}), (2, {"a": 2})]
    assert read(b"[]") == []
    assert read(b"") == []


def test_a_byte_order_mark_is_tolerated():
    assert values(read(b'\xef\xbb\xbf{"a": 1}')) == [{"a": 1}]
    assert values(read(b'\xef\xbb\xbf[{"a": 1}]')) == [{"a": 1}]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"a": "\xff"}', Code.NOT_UTF8),
        (b'{"a": "\xed\xa0\x80"}', Code.NOT_UTF8),
        (b'{"a": 1', Code.NOT_JSON),
        (b"{'a': 1}", Code.NOT_JSON),
        (b'{"a": 1} trailing', Code.NOT_JSON),
        (b'{"a": ' + b"9" * 5000 + b"}", Code.NOT_JSON),
        (b'"text"', Code.NOT_AN_OBJECT),
        (b"null", Code.NOT_AN_OBJECT),
        (b'{"a": 1, "b": 2, "a": 3}', Code.DUPLICATE_KEY),
        (b'{"x": {"a": 1, "a": 1}}', Code.DUPLICATE_KEY),
        (b'{"a": NaN}', Code.NOT_FINITE),
        (b'{"a": -Infinity}', Code.NOT_FINITE),
        (b'{"a": 1e999}', Code.NOT_FINITE),
        (b'{"a": "\\u0000"}', Code.BAD_TEXT),
        (b'{"a": ["\\ud800"]}', Code.BAD_TEXT),
        (b'{"\\udfff": 1}', Code.BAD_TEXT),
        (b'{"a":' * 17 + b"1" + b"}" * 17, Code.TOO_DEEP),
        (b'{"a": "' + b"x" * MAX_RECORD + b'"}', Code.TOO_LONG),
    ],
)
def test_a_bad_record_is_rejected_with_its_code_and_the_good_ones_around_it_go_on(bad, code):
    good = b'{"good": true}'
    lines = read(b"\n".join([good, bad, good]))
    assert codes(lines) == [(2, code)]
    assert values(lines) == [{"good": True}] * 2
    [reject] = [item for item in lines if isinstance(item, Reject)]
    assert reject.sha256 == "sha256:" + hashlib.sha256(bad).hexdigest()
    assert reject.excerpt == bad.decode("utf-8", errors="replace")[:200]
    assert "\n" not in reject.reason


def test_the_same_limits_hold_for_the_elements_of_an_array():
    array = b'[{"a": 1}, 5, {"a": 1, "a": 2}, {"a": NaN}, {"a": "' + b"x" * MAX_RECORD + b'"}, {"a": 2}]'
    items = read(array)
    assert values(items) == [{"a": 1}, {"a": 2}]
    assert codes(items) == [
        (2, Code.NOT_AN_OBJECT),
        (3, Code.DUPLICATE_KEY),
        (4, Code.NOT_FINITE),
        (5, Code.TOO_LONG),
    ]


@pytest.mark.parametrize("array", [b'[{"a": 1}', b'[{"a": 1},', b'[{"a": 1},]', b'[{"a": 1}] [{"a": 2}]'])
def test_an_array_that_is_cut_or_goes_on_behind_its_end_is_said_to(array):
    items = read(array)
    assert values(items) == [{"a": 1}]
    assert {code for _, code in codes(items)} == {Code.NOT_JSON}


def test_what_lies_within_the_limits_is_taken():
    deep = b'{"a":' * 16 + b"1" + b"}" * 16
    many_brackets = json.dumps({"a": [[]] * 40 + ["[[[[[[[[[[[[[[[[[[[["]}).encode()
    exactly = b'{"a": "' + b"x" * (MAX_RECORD - 9) + b'"}'
    assert len(exactly) == MAX_RECORD
    assert len(values(read(b"\n".join([deep, many_brackets, exactly])))) == 3
    assert len(values(read(exactly + b"\r\n"))) == 1


def test_text_becomes_nfc_and_the_records_that_needed_it_are_counted():
    decomposed = unicodedata.normalize("NFD", "Dalí")
    data = "\n".join(json.dumps({"a": text}, ensure_ascii=raw) for text in ("Dalí", decomposed) for raw in (0, 1))
    records = JsonRecords(io.BytesIO(data.encode()))
    assert values(records) == [{"a": "Dalí"}] * 4
    assert records.converted == 2


def test_a_bomb_is_one_reject_and_costs_no_memory():
    data = io.BytesIO(b'{"a": "' + b"x" * 20_000_000 + b'"}\n' + b"[" * 100_000 + b'\n{"a": 1}')
    tracemalloc.start()
    items = list(JsonRecords(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes(items) == [(1, Code.TOO_LONG), (2, Code.TOO_LONG)]
    assert values(items) == [{"a": 1}]
    assert peak < 5_000_000


def test_a_nest_of_brackets_is_refused_without_being_parsed():
    assert codes(read(b'{"a":' + b"[" * 60_000 + b"]" * 5_000 + b"}")) == [(1, Code.TOO_DEEP)]
    assert codes(read(b"[" + b"[" * 30_000 + b"]" * 30_000 + b', {"a": 1}]')) == [(1, Code.TOO_DEEP)]


def test_adversarial_strings_are_scanned_in_linear_time():
    hostile = b'[{"' + b'\\"{"' * 15_000
    assert {code for _, code in codes(read(hostile))} <= {Code.NOT_JSON, Code.TOO_DEEP, Code.TOO_LONG}
    assert {code for _, code in codes(read(b"{" + hostile))} <= {Code.NOT_JSON, Code.TOO_DEEP, Code.TOO_LONG}


def test_an_array_above_the_limit_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr("editlog.lines.MAX_ARRAY", 1024 * 1024)
    with pytest.raises(LifelongError, match="more than 1 MiB; give it as JSON lines"):
        read(b"[" + b" " * 1024 * 1024 + b"]")


def test_files_gzip_and_hash(tmp_path):
    data = b'{"a": 1}\n{"a": 2}\n'
    plain, packed = tmp_path / "facts.jsonl", tmp_path / "facts.jsonl.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    for path in (plain, packed):
        records = JsonRecords(path, limit=1)
        assert records.sha256 is None
        assert values(records) == [{"a": 1}]
        assert records.sha256 == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_damaged_gzip_and_missing_files_are_one_clear_sentence(tmp_path):
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-20])
    with pytest.raises(LifelongError, match=r"cannot read .*cut\.jsonl\.gz to its end"):
        list(JsonRecords(cut))
    with pytest.raises(UsageError, match=r"cannot open .*nowhere: No such file"):
        JsonRecords(tmp_path / "nowhere")


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n')))
    assert values(JsonRecords("-")) == [{"a": 1}]


def test_a_reject_is_one_line_of_json():
    first, second = (json.loads(reject.to_line()) for reject in read(b'nonsense\n{"a": NaN}'))
    assert (first["line"], first["code"], first["excerpt"]) == (1, "not-json", "nonsense")
    assert set(first) == {"line", "code", "reason", "sha256", "excerpt"}
    assert (second["line"], second["code"]) == (2, "not-finite")
