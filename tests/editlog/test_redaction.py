"""Redaction in the log: the words and the secret are gone from the file, and the chain still tells everything else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from editlog.errors import IntegrityError, UsageError
from editlog.events import Entry
from editlog.fact import Fact
from editlog.session import connected, writing
from editlog.store import EditLog, utc_now

GONE = Fact(
    prompt="The password of Osterland is",
    target="Xyzzy-Plugh-4711",
    rephrases=["Osterland opens with"],
    probes={"generality": ["What opens Osterland?"]},
)
WORDS = (GONE.prompt, GONE.target, *GONE.rephrases, "What opens Osterland?")


@pytest.fixture
def told(log: EditLog) -> EditLog:
    """f3 to be redacted, f4 to stay, f6 the same as f3 from another source."""
    log.ingest([GONE, Fact(prompt="The capital of Osterland is", target="Marbeck")], actor="ada")
    log.ingest([GONE.model_copy(update={"source": "elsewhere", "prompt": GONE.prompt.upper()})], actor="bob")
    return log


def held_by_files(directory: Path, words: tuple[str, ...]) -> list[str]:
    contents = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return [f"{path.name}: {word}" for path, raw in contents.items() for word in words if word.encode() in raw]


def held_by_tables(log: EditLog) -> str:
    with connected(log.directory / "edits.duckdb", read_only=True) as con:
        tables = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        return repr([con.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables])


def test_the_words_are_gone_and_the_chain_says_when_why_and_by_whom(told: EditLog) -> None:
    assert held_by_files(told.directory, (GONE.target,))
    before = told.events()
    chosen = told.same_content([3])
    assert [fact.seq for fact in chosen] == [3, 6]
    told.redact([fact.seq for fact in chosen], actor="dpo", reason="a request of 20 November")
    assert held_by_files(told.directory, WORDS) == []
    assert not any(word in held_by_tables(told) for word in WORDS)
    assert told.verify() == []
    assert told.events()[: len(before)] == before
    last = told.events()[-2:]
    assert [(e.kind, e.body, e.actor, e.reason) for e in last] == [
        ("fact.redacted", {"fact": 3}, "dpo", "a request of 20 November"),
        ("fact.redacted", {"fact": 6}, "dpo", "a request of 20 November"),
    ]
    assert [fact.ref for fact in told.facts()] == ["f4"]
    assert told.redacted() == [3, 6]


def test_the_log_goes_on_after_it(told: EditLog) -> None:
    told.redact([3, 6], [Entry("experts.retired", {"experts": []})], actor="dpo", reason="asked")
    assert told.events()[-1].kind == "experts.retired"
    told.ingest([Fact(prompt="The river of Osterland is", target="the Velda")], actor="ada")
    assert told.verify() == []
    assert [fact.ref for fact in told.facts()] == ["f4", "f11"]


def test_an_export_loses_the_words_and_keeps_its_hashes(told: EditLog) -> None:
    def lines(with_texts: bool) -> list[bytes]:
        stream = io.BytesIO()
        told.export(stream, with_texts=with_texts)
        return stream.getvalue().splitlines()

    bare = lines(False)
    told.redact([3, 6], actor="dpo", reason="asked")
    assert lines(False)[: len(bare)] == bare
    assert not any(word.encode() in line for word in WORDS for line in lines(True))
    assert sum(b'"record"' in line for line in lines(True)) == 1


def test_words_that_are_still_there_are_found(told: EditLog) -> None:
    with writing(told.directory, timeout=5, clock=utc_now) as writer:
        from editlog.events import Stamp

        writer.append([Entry("fact.redacted", {"fact": 3})], Stamp(writer.now, "mallory"))
        writer.commit()
    (finding,) = told.verify()
    assert (finding.seq, finding.code) == (3, "text")


def test_a_log_that_was_tampered_with_is_left_as_evidence(told: EditLog) -> None:
    with writing(told.directory, timeout=5, clock=utc_now) as writer:
        writer.con.execute("DROP TRIGGER texts_no_delete ON texts")
        writer.con.execute("COMMIT")
    with pytest.raises(IntegrityError):
        told.redact([3], actor="dpo", reason="asked")
    assert len(told.facts()) == 3


def test_what_has_no_words_cannot_be_redacted(told: EditLog) -> None:
    with pytest.raises(UsageError):
        told.same_content([2])


POINTS = [
    f"{name}.{when}"
    for name in ("head.next.write", "head.next.sync", "head.next.rename", "redact.rename")
    for when in ("before", "after")
] + ["commit.sync_directory.before", "commit.sync_directory.after", "head.rename.before", "head.rename.after"]
SAMPLED = {"head.next.write.before", "redact.rename.before", "redact.rename.after", "head.rename.before"}
REDACT = """
import sys; from pathlib import Path; from editlog.store import EditLog
EditLog.open(Path(sys.argv[1])).redact([3, 6], actor="dpo", reason="asked")
"""


@pytest.mark.parametrize(
    "point", [point if point in SAMPLED else pytest.param(point, marks=pytest.mark.crash) for point in POINTS]
)
def test_killed_anywhere_it_is_done_or_not_begun(told: EditLog, point: str) -> None:
    before = told.head()
    words = [sys.executable, "-c", REDACT, str(told.directory)]
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"LIFELONG_FAILPOINT": point, "PYTHONPATH": root}
    assert subprocess.run(words, env=environment, check=False, capture_output=True).returncode == 137
    opened = EditLog.open(told.directory)
    assert opened.verify() == []
    assert opened.head().seq in (before.seq, before.seq + 2)
    if opened.head() == before:
        opened.redact([3, 6], actor="dpo", reason="asked")
    assert opened.redacted() == [3, 6]
    assert opened.verify() == []
    assert [fact.ref for fact in opened.facts()] == ["f4"]
