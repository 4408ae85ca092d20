"""Any of 500 rows edited, deleted, reordered, inserted or cut off by someone with the file: `verify` names the first.

The tamperer works as one would: the tables are written anew without their guards and keys. `-m crash` tampers with
each row in turn; a sample runs every time. Who also rewrites HEAD is named by a witness alone (docs/FORMAT.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import duckdb
import pytest

from editlog.fact import Fact
from editlog.store import EditLog

ROWS = 500  # events: the workspace, the batch and 498 facts
FIRST_FACT = 3

EVENT_EDITS = (
    "actor = 'eve'",
    "reason = 'none'",
    "kind = 'fact.redacted'",
    "job = 'j1'",
    "recorded_at = recorded_at - INTERVAL 1 DAY",
    "body = replace(body, '\"batch\":2', '\"batch\":3')",
    "body = body || ' '",
    "hash = unhex(sha256(hash::VARCHAR))",
)
TEXT_EDITS = (
    "target = 'another'",
    "prompt = prompt || '?'",
    "subject = 'someone'",
    "author = 'eve'",
    "valid_to = TIMESTAMP '2030-01-01'",
    'more = \'{"rephrases":["x"]}\'',
    "secret = unhex(sha256('x'))",
    "digest = unhex(sha256('x'))",
    "key = 'p' || chr(31) || 'another'",
)
Tampering = tuple[list[str], int]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = EditLog.create(tmp_path_factory.mktemp("original") / "log", actor="ada")
    facts = [Fact(prompt=f"Prompt number {n} is", target=f"target {n}") for n in range(ROWS - 2)]
    assert log.ingest(facts, actor="ada").head.seq == ROWS
    return log.directory


def rewritten(table: str, query: str) -> str:
    """The table made of other rows, without its guards and its key."""
    return f"CREATE OR REPLACE TABLE {table} AS {query}"


def edit(row: int, random: Random) -> Tampering:
    """One column of one event, or of one fact's words."""
    if row >= FIRST_FACT and random.random() < 0.5:
        columns = "SELECT * REPLACE ({1} AS {0}) FROM texts"
        table, (name, _, value) = "texts", random.choice(TEXT_EDITS).partition(" = ")
    else:
        table, (name, _, value) = (
            "events",
            random.choice(EVENT_EDITS[:-3] if row == 1 else EVENT_EDITS).partition(" = "),
        )
        if row == 2 and name == "body":
            value = "body || ' '"
        columns = "SELECT * REPLACE ({1} AS {0}) FROM events"
    return [rewritten(table, columns.format(name, f"CASE WHEN seq = {row} THEN {value} ELSE {name} END"))], row


def delete(row: int, random: Random) -> Tampering:
    """An event, or a fact's words alone."""
    table = random.choice(["events", "texts"]) if row >= FIRST_FACT else "events"
    return [rewritten(table, f"SELECT * FROM {table} WHERE seq <> {row}")], row


def reorder(row: int, random: Random) -> Tampering:
    """Two events that change places, words and all."""
    other = random.choice([seq for seq in range(1, ROWS + 1) if seq != row])
    swapped = f"CASE seq WHEN {row} THEN {other} WHEN {other} THEN {row} ELSE seq END"
    return [rewritten(t, f"SELECT * REPLACE ({swapped} AS seq) FROM {t}") for t in ("events", "texts")], min(row, other)


def insert(row: int, random: Random) -> Tampering:
    """An event of the tamperer's own, and everything from there on moved up by one; or the same number twice."""
    copied = random.randrange(1, ROWS + 1)
    if random.random() < 0.3:
        return [f"INSERT INTO events SELECT {row}, * EXCLUDE (seq) FROM events WHERE seq = {copied}"], row
    moved = "SELECT * REPLACE (CASE WHEN seq >= {row} THEN seq + 1 ELSE seq END AS seq) FROM {table}"
    return [
        *(rewritten(table, moved.format(row=row, table=table)) for table in ("events", "texts")),
        f"INSERT INTO events SELECT {row}, * EXCLUDE (seq) FROM events WHERE seq = {copied}",
    ], row


def truncate(row: int, _random: Random) -> Tampering:
    """Everything from one event on."""
    return [rewritten(table, f"SELECT * FROM {table} WHERE seq < {row}") for table in ("events", "texts")], row


KINDS = (edit, delete, reorder, insert, truncate)


def first_named(log: EditLog) -> int | None:
    """The first seq that `verify` names; None where it finds nothing."""
    return next((finding.seq for finding in log.verify() if finding.seq is not None), None)


def tampered(
    original: Path, directory: Path, kind: Callable[[int, Random], Tampering], row: int
) -> tuple[int | None, int]:
    """The first seq that `verify` names after one tampering, and the one it must name."""
    statements, bad = kind(row, Random(1000 * KINDS.index(kind) + row))
    shutil.copytree(original, directory)
    with duckdb.connect(directory / "edits.duckdb") as con:
        if statements[0].startswith("INSERT"):  # a number twice: the key has to go
            con.execute(rewritten("events", "SELECT * FROM events"))
        for statement in statements:
            con.execute(statement)
    named = first_named(EditLog(directory))
    shutil.rmtree(directory)
    return named, bad


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_sample_of_rows_is_named(original: Path, tmp_path: Path, kind: Callable[[int, Random], Tampering]) -> None:
    for row in (1, 2, 3, 250, ROWS):
        named, bad = tampered(original, tmp_path / str(row), kind, row)
        assert named == bad, (kind.__name__, row)


@pytest.mark.crash
def test_each_of_500_rows_is_named(original: Path, tmp_path: Path) -> None:
    missed = []
    for row in range(1, ROWS + 1):
        kind = KINDS[row % len(KINDS)]
        named, bad = tampered(original, tmp_path / str(row), kind, row)
        if named != bad:
            missed.append((kind.__name__, row, named))
    assert missed == []
    print(f"tampering: the first bad seq named for each of {ROWS} rows, {ROWS // len(KINDS)} of each kind")


def test_head_alone_rolled_back_to_any_batch_is_named(tmp_path: Path) -> None:
    log = EditLog.create(tmp_path / "log", actor="ada")
    heads = [(log.head().seq, (log.directory / "HEAD").read_bytes())]
    for batch in range(6):
        log.ingest([Fact(prompt=f"Prompt {batch} {n} is", target="one") for n in range(batch + 1)], actor="ada")
        heads.append((log.head().seq, (log.directory / "HEAD").read_bytes()))
    for seq, content in heads[:-1]:
        (log.directory / "HEAD").write_bytes(content)
        assert first_named(log) == seq + 1


def test_a_chain_written_anew_is_named_where_head_was_left(original: Path, tmp_path: Path) -> None:
    """With new hashes for all that follows, only HEAD still knows better, and it knows the last event alone."""
    from editlog.events import Stamp, encode, link

    directory = shutil.copytree(original, tmp_path / "log")
    with duckdb.connect(directory / "edits.duckdb") as con:
        con.execute(rewritten("events", "SELECT * FROM events ORDER BY seq"))
        con.execute("UPDATE events SET actor = 'eve' WHERE seq = 400")
        rows = con.execute("SELECT * FROM events WHERE seq >= 399 ORDER BY seq").fetchall()
        previous = rows[0][-1]
        for seq, at, kind, actor, reason, job, body, _ in rows[1:]:
            previous = link(previous, encode(seq, kind, Stamp(at, actor, reason, job), body.encode()))
            con.execute("UPDATE events SET hash = ? WHERE seq = ?", [previous, seq])
    assert first_named(EditLog(directory)) == ROWS
