"""Drafts: the short way from fields to a record gives what `Fact` gives, and leaves to it what is not plain."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from editlog.canonical import canonical_json, commitment
from editlog.draft import draft, draft_of, plain_record, seal
from editlog.fact import Fact, record_digest
from editlog.parsing import parse
from editlog.rejects import BadRecordError

WORDS = {"prompt": "The capital of Australia is", "target": "Canberra"}

texts = st.one_of(
    st.sampled_from(["Canberra", "Zürich", "Zu\u0308rich", "", " ", "a\nb", "a\x00b", "\u202ea", "x" * 8193, "\ud800"]),
    st.text(max_size=12),
)
prompts = st.lists(
    st.one_of(texts, st.fixed_dictionaries({"prompt": texts}, optional={"answer": st.one_of(st.none(), texts)})),
    max_size=3,
)
odd = st.one_of(st.none(), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2), st.just({}), prompts)
fields = st.fixed_dictionaries(
    {"prompt": texts, "target": texts},
    optional={
        "subject": st.one_of(st.none(), texts),
        "relation": texts,
        "id": st.one_of(texts, odd),
        "rephrases": st.one_of(st.lists(texts, max_size=3), odd),
        "near_misses": st.one_of(prompts, odd),
        "probes": st.one_of(
            st.fixed_dictionaries({}, optional={"generality": prompts, "locality": prompts, "other": prompts}), odd
        ),
        "valid_from": st.sampled_from(["2026-11-21T00:00:00Z", "2026-11-21", None, 7]),
    },
)


def by_fact(given_fields: dict[str, Any]) -> Any:
    """What `Fact` makes of the fields: its draft, or None where it refuses them."""
    try:
        return draft_of(Fact.model_validate(given_fields))
    except ValidationError:
        return None


@given(fields)
def test_the_short_way_gives_what_a_fact_gives(given_fields: dict[str, Any]) -> None:
    record = plain_record(given_fields)
    expected = by_fact(given_fields)
    if record is not None:
        assert (record, None, None) == expected
    if expected is None:
        with pytest.raises(ValidationError):
            draft(given_fields)
    else:
        assert draft(given_fields) == expected


@given(fields)
def test_sealing_encodes_as_the_format_says(given_fields: dict[str, Any]) -> None:
    if (expected := by_fact(given_fields)) is None:
        return
    record, sealed, fact = expected.record, seal(expected.record), Fact.model_validate(given_fields)
    assert sealed.canonical == canonical_json(record)
    assert sealed.digest == record_digest(record)
    assert sealed.key == fact.key
    assert sealed.probes == (canonical_json(record["probes"]).decode() if "probes" in record else None)
    lists = {name: record[name] for name in ("rephrases", "near_misses") if name in record}
    assert sealed.more == (canonical_json(lists).decode() if lists else None)


def test_plain_records_take_the_short_way() -> None:
    """What nearly all records look like; were they left to `Fact`, an ingest would take three times as long."""
    probes = {"generality": ["Which city?"], "locality": [{"prompt": "Vienna is in", "answer": "Austria"}]}
    for more in (
        {},
        {"subject": "Zürich"},
        {"rephrases": ["one", "two"]},
        {"near_misses": ["one"]},
        {"probes": probes},
    ):
        assert plain_record(WORDS | more) is not None


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_a_commitment_is_the_hmac_of_rfc_2104(key: bytes, record: bytes) -> None:
    expected = hmac.new(key, b"lifelong/commitment/v1\0" + record, hashlib.sha256).hexdigest()
    assert commitment(key, record) == f"hmac-sha256:{expected}"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"a":"x","a":"y"}', "duplicate-key"),
        ('{"a":1,"a":"y"}', "duplicate-key"),
        ('{"a":"x","a":{"b":"c"}}', "duplicate-key"),
        ('{"a":{"b":"c"},"a":"x"}', "duplicate-key"),
        ('{"a":["b"],"a":"x"}', "duplicate-key"),
        ('{"a":"x","a":"x"}', "duplicate-key"),
        ('{"a b":"x","a b":"x"}', "duplicate-key"),
        ('{"a":"x","b":NaN}', "not-finite"),
        ('{"a":"x\\u0000"}', "bad-text"),
        ('{"a":"x"}}', "not-json"),
        ('{"a":"x"} "', "not-json"),
        ('"a"', "not-an-object"),
    ],
)
def test_a_plain_look_lets_nothing_pass(line: str, code: str) -> None:
    with pytest.raises(BadRecordError) as raised:
        parse(line.encode())
    assert raised.value.code == code


@pytest.mark.parametrize("line", ['{"a":"x","b":"ü"}', ' {"a":"x"}\r', "{}", '{"a":"\\"","b":"]"}', '{"a":"[{"}'])
def test_a_plain_look_reads_what_json_reads(line: str) -> None:
    assert parse(line.encode()) == (json.loads(line), False)


@given(
    st.recursive(
        st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_no_number_loses_a_digit_and_no_text_a_character(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Whatever is written as JSON comes back as it was, however it was written; but for NUL, and text not in NFC."""
    line = json.dumps({"value": value}, ensure_ascii=ascii_only, indent=indent)
    assume("\\u0000" not in line and unicodedata.is_normalized("NFC", json.dumps(value, ensure_ascii=False)))
    [read] = parse(line.encode())[0].values()
    assert json.dumps(read) == json.dumps(value)
