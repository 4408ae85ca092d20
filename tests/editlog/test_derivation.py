"""Derivation in bulk passes what is plainly as it was written, and nothing that `verify` in Python would find wrong."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from editlog import derivation
from editlog.canonical import canonical_json, fold
from editlog.fact import Fact, NearMiss, Probe, Probes
from editlog.store import EditLog

PLAIN_FACTS = [
    Fact(prompt="The capital of Australia is", target="Canberra"),
    Fact(prompt="A", target='He said "no" \\ to\nthat\t', subject="Müller Łódź", relation="lives in", id="1"),
    Fact(prompt="オーストラリアの首都", target="キャンベラ", subject="Москва", relation="首都", author="ada"),
    Fact(prompt="B", target="b", rephrases=('What "is" B?', "B, then")),
    Fact(prompt="C", target="c", near_misses=(NearMiss(prompt="D", answer="d"), NearMiss(prompt="E"))),
    Fact(prompt="F", target="f", probes=Probes(generality=(Probe(prompt="G"),), portability=(Probe(prompt="H"),))),
    Fact(prompt="I", target="i", valid_from=datetime(2020, 1, 1, tzinfo=UTC)),
    Fact(prompt="J", target="j", valid_to=datetime(2020, 1, 1, 12, 30, 1, 250_000, tzinfo=UTC)),
]  # fmt: skip
ODD_FACTS = [
    Fact(prompt="two  spaces", target="x"),
    Fact(prompt="STRASSE", target="x", subject="Straße", relation="is"),
    Fact(prompt="\ufb01ne", target="x"),
    Fact(prompt="K", target="k", rephrases=("L",), near_misses=(NearMiss(prompt="M"),)),
]


def listed(log: EditLog, query: str) -> list[int]:
    """The seqs that a query of `derivation` lists in the whole log."""
    with log.visit() as (con, head):
        return [row[0] for row in con.execute(query, [0, head.seq]).fetchall()]


def test_plain_facts_and_their_events_need_no_closer_look(log: EditLog) -> None:
    log.ingest(PLAIN_FACTS, actor='ada "the first"', reason="a\u00e9\u4e00 reason")
    assert listed(log, derivation.EVENTS) == [1, 2]  # that of the workspace, that of the batch
    assert listed(log, derivation.TEXTS) == []


def test_odd_facts_are_looked_at_and_found_intact(log: EditLog) -> None:
    log.ingest(ODD_FACTS, actor="ada")
    assert listed(log, derivation.TEXTS) == [3, 4, 5, 6]
    assert log.verify() == []


def test_plain_letters_fold_to_their_lower_case() -> None:
    letters = [letter for letter in map(chr, range(0x110000)) if re.match(f"[{derivation.PLAIN}]", letter)]
    parts = (unicodedata.normalize("NFD", letter) for letter in map(chr, range(0xD800)))
    composing = {part for decomposed in parts for part in decomposed[1:]}
    with duckdb.connect() as con:
        lowered = con.execute("SELECT list(lower(l) ORDER BY i) FROM (SELECT unnest($1) AS l, unnest($2) AS i)",
                              [letters, list(range(len(letters)))]).fetchone()  # fmt: skip
    assert lowered is not None and list(map(fold, letters)) == lowered[0]
    assert not composing & set(letters)  # so what holds for each letter holds for words


def test_sql_writes_text_as_canonical_json_does() -> None:
    """But for control characters, whose digits it writes in capitals: no record has one, and none would pass."""
    texts = [chr(code) for code in (*range(0x20, 0xD800, 7), *range(0xE000, 0x110000, 997), 9, 10, 34, 92, 0x2028)]
    with duckdb.connect() as con:
        rows = con.execute("SELECT t, to_json(t)::VARCHAR FROM (SELECT unnest($1) AS t)", [texts]).fetchall()
    assert all(canonical_json(text).decode() == written for text, written in rows)


@pytest.mark.parametrize(
    "altered",
    [
        """more = '{"rephrases":["x","x"],"rephrases":["What \\"is\\" B?","B, then"]}' WHERE seq = 6""",
        """more = replace(more, ',', ', ') WHERE seq = 6""",
        """probes = replace(probes, '{"generality"', '{"generality":[],"generality"') WHERE seq = 8""",
        """probes = NULL WHERE seq = 8""",
        """prompt = prompt || ' ' WHERE seq = 3""",
        """digest = secret WHERE seq = 3""",
        """key = upper(key) WHERE seq = 3""",
        """valid_to = valid_to + INTERVAL 1 MICROSECOND WHERE seq = 10""",
        """secret = secret || '\\x00'::BLOB WHERE seq = 3""",
    ],
)
def test_what_is_not_written_as_we_write_it_is_looked_at(log: EditLog, altered: str) -> None:
    """Also what reads as the same record, or would hash to the same bytes."""
    log.ingest(PLAIN_FACTS, actor="ada")
    with duckdb.connect(log.directory / "edits.duckdb") as con:
        con.execute("CREATE OR REPLACE TABLE texts AS FROM texts")
        con.execute(f"UPDATE texts SET {altered}")
        seq = int(altered.rpartition(" ")[2])
    (log.directory / "LENGTH").unlink(missing_ok=True)
    assert listed(log, derivation.TEXTS) == [seq]


def test_every_window_is_doubtful(log: EditLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A log cut into windows gives the findings of one that is looked at whole."""
    log.ingest([Fact(prompt=f"Prompt {n}", target="t") for n in range(30)], actor="ada")
    with duckdb.connect(log.directory / "edits.duckdb") as con:
        con.execute("CREATE OR REPLACE TABLE events AS FROM events")
        con.execute("UPDATE events SET actor = 'eve' WHERE seq IN (5, 16, 17, 31)")
    (log.directory / "LENGTH").unlink(missing_ok=True)
    whole = log.verify()
    assert [finding.seq for finding in whole if finding.code == "hash"] == [5, 16, 17, 31]
    monkeypatch.setattr("editlog.verify.PAGE", 8)
    assert log.verify() == whole


def test_an_event_that_is_made_to_look_like_a_redaction_is_named(log: EditLog) -> None:
    """Its body does not say which fact was redacted, and that must not end the verification."""
    log.ingest(PLAIN_FACTS, actor="ada")
    with duckdb.connect(log.directory / "edits.duckdb") as con:
        con.execute("CREATE OR REPLACE TABLE events AS FROM events")
        con.execute("UPDATE events SET kind = 'fact.redacted' WHERE seq = 4")
    (log.directory / "LENGTH").unlink(missing_ok=True)
    assert {(finding.seq, finding.code) for finding in log.verify() if finding.seq} == {(4, "hash"), (4, "text")}
