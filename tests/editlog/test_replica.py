"""The readers' copy: it says what the log says, costs only what is new, and is made anew where it must be."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from editlog import segments
from editlog.errors import Busy, IntegrityError, UsageError
from editlog.fact import Fact
from editlog.manifest import MANIFEST
from editlog.replica import GRACE, Replica, rebuild, refresh
from editlog.segments import LARGE, SMALL, spans
from editlog.store import EditLog, utc_now

NOW = utc_now()


def facts(first: int, count: int) -> list[Fact]:
    return [Fact(prompt=f"Prompt number {n} is", target=f"target {n}") for n in range(first, first + count)]


@pytest.fixture
def directory(log: EditLog) -> Path:
    return log.directory / "replica"


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 50 and 10 events, so that a test fills them."""
    monkeypatch.setattr(segments, "LARGE", 50)
    monkeypatch.setattr(segments, "SMALL", 10)


def files(directory: Path) -> dict[str, int]:
    """The files of the segments, each with the moment it was written."""
    return {path.name: path.stat().st_mtime_ns for path in directory.glob("*.parquet")}


@given(st.integers(0, 3 * LARGE), st.integers(0, SMALL * 3))
def test_two_refreshes_differ_in_the_tail(seq: int, more: int) -> None:
    before, after = spans(seq), spans(seq + more)
    assert [span.first for span in after] == [1, *(span.last + 1 for span in after)][: len(after)]
    assert sum(span.size for span in after) == seq + more
    written = sum(span.size for span in after if span not in before and not span.is_large)
    assert written < more + SMALL
    assert len(after) <= (seq + more) // LARGE + LARGE // SMALL


@pytest.mark.usefixtures("short_segments")
def test_it_answers_as_the_log_does(log: EditLog, directory: Path) -> None:
    log.ingest(facts(0, 80), actor="ada", reason="atlas")
    log.retract(["f7"], actor="bo", reason="wrong")
    log.ingest(facts(40, 80), actor="ada")
    refresh(log, directory, NOW)
    replica = Replica.open(directory, verify=True)
    assert replica.head() == log.head()
    assert replica.manifest.seq == log.head().seq
    assert replica.facts() == log.facts()
    assert replica.facts(as_of=30) == log.facts(as_of=30)
    assert replica.events() == log.events()
    assert replica.events(kinds=["fact.put"], limit=3, newest_first=True, actor="ada") == log.events(
        kinds=["fact.put"], limit=3, newest_first=True, actor="ada"
    )
    assert replica.history(ref="f7") == log.history(ref="f7")
    assert replica.resolve("f9") == log.resolve("f9")
    assert replica.probes_of([8]) == log.probes_of([8])
    assert replica.connect().sql("SELECT count(*) FROM texts").fetchall() == [(120,)]


@pytest.mark.usefixtures("short_segments")
def test_a_refresh_costs_the_tail(log: EditLog, directory: Path) -> None:
    """Full segments keep their very files; what is written has the events that are new, and less than a segment."""
    log.ingest(facts(0, 70), actor="ada")
    refresh(log, directory, NOW)
    full = {name: at for name, at in files(directory).items() if "-71-" not in name}
    assert len(full) == 2 * 3
    log.ingest(facts(70, 2), actor="ada")
    refresh(log, directory, NOW)
    assert files(directory).items() >= full.items()
    written = {name for name in files(directory) if "-71-" in name}
    assert {name.rsplit("-", 1)[0] for name in written} == {
        "events-71-72",
        "texts-71-72",
        "events-71-75",
        "texts-71-75",
    }


def test_a_refresh_with_nothing_new_writes_nothing(log: EditLog, directory: Path) -> None:
    log.ingest(facts(0, 3), actor="ada")
    first = refresh(log, directory, NOW)
    before = files(directory), (directory / MANIFEST).stat().st_mtime_ns
    assert refresh(log, directory, NOW + timedelta(hours=1)) == first
    assert (files(directory), (directory / MANIFEST).stat().st_mtime_ns) == before


def test_a_superseded_tail_stays_while_a_reader_may_need_it(log: EditLog, directory: Path) -> None:
    refresh(log, directory, NOW)
    early = Replica.open(directory)
    log.ingest(facts(0, 3), actor="ada")
    refresh(log, directory, NOW)
    assert [event.seq for event in early.events()] == [1]  # its files are there, though superseded
    late = Replica.open(directory)
    log.ingest(facts(3, 3), actor="ada")
    refresh(log, directory, NOW + GRACE)
    assert len(early.events()) == 1  # loaded, and true of its position for good
    assert len(late.events()) == 5
    log.ingest(facts(6, 3), actor="ada")
    refresh(log, directory, NOW + 2 * GRACE)
    assert not list(directory.glob("*-1-1-*"))


def test_a_reader_who_comes_too_late_for_its_files_is_told_to_try_again(log: EditLog, directory: Path) -> None:
    refresh(log, directory, NOW)
    slow = Replica.open(directory)
    log.ingest(facts(0, 3), actor="ada")
    rebuild(log, directory, NOW)
    with pytest.raises(Busy, match="made anew while it was read"):
        slow.events()


@pytest.mark.usefixtures("short_segments")
def test_a_large_segment_that_is_gone_while_it_is_read_is_busy_too(log: EditLog, directory: Path) -> None:
    log.ingest(facts(0, 60), actor="ada")
    refresh(log, directory, NOW)
    slow = Replica.open(directory)
    assert slow.head() == log.head()
    for path in directory.glob("*-1-50-*"):
        path.unlink()
    with pytest.raises(Busy, match="made anew while it was read"):
        slow.events()


@pytest.mark.usefixtures("short_segments")
def test_after_a_redaction_no_file_has_the_words(log: EditLog, directory: Path) -> None:
    """A refresh that passes a redaction writes everything anew, and what superseded files there were goes at once."""
    log.ingest([*facts(0, 60), Fact(prompt="The secret word is", target="xyzzy")], actor="ada")
    log.ingest(facts(60, 5), actor="ada")
    refresh(log, directory, NOW)
    log.ingest(facts(65, 5), actor="ada")
    refresh(log, directory, NOW)
    seq = next(fact.seq for fact in log.facts() if fact.fact.target == "xyzzy")
    before = set(files(directory))
    log.redact([seq], actor="ada", reason="asked to")
    refresh(log, directory, NOW)
    texts = [duckdb.read_parquet(str(path)).fetchall() for path in directory.glob("texts-*")]
    assert texts
    assert "xyzzy" not in str(texts)
    assert set(files(directory)) == Replica.open(directory, verify=True).manifest.names
    assert {name for name in before if name.startswith("texts-61-")}.isdisjoint(files(directory))
    assert Replica.open(directory).events() == log.events()


def test_a_redaction_whose_refresh_was_cut_short_is_made_good(log: EditLog, directory: Path) -> None:
    """Killed after the manifest and before the old files were removed: they go with the next refresh."""
    refresh(log, directory, NOW)
    stray = directory / f"texts-1-4-{'0' * 16}.parquet"
    stray.write_bytes(b"words")
    (directory / ".texts-1-4-left.over").write_bytes(b"words")
    refresh(log, directory, NOW)
    assert not stray.exists()
    assert {path.name for path in directory.iterdir()} - {"LOCK", "TURN", MANIFEST} == set(files(directory))


def spoil_manifest(directory: Path) -> None:
    (directory / MANIFEST).write_bytes((directory / MANIFEST).read_bytes()[:-40])


def lose_a_file(directory: Path) -> None:
    next(directory.glob("events-1-*")).unlink()


def cut_a_file(directory: Path) -> None:
    path = next(directory.glob("texts-1-*"))
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [spoil_manifest, lose_a_file, cut_a_file])
def test_the_next_refresh_makes_good_what_is_damaged(
    log: EditLog, directory: Path, spoil: Callable[[Path], None]
) -> None:
    log.ingest(facts(0, 3), actor="ada")
    refresh(log, directory, NOW)
    spoil(directory)
    refresh(log, directory, NOW)
    assert Replica.open(directory, verify=True).facts() == log.facts()


def test_a_replica_of_another_log_is_replaced(log: EditLog, directory: Path, tmp_path: Path) -> None:
    other = EditLog.create(tmp_path / "other", actor="bo")
    other.ingest(facts(50, 5), actor="bo")
    refresh(other, directory, NOW)
    log.ingest(facts(0, 30), actor="ada")
    refresh(log, directory, NOW)
    assert Replica.open(directory).facts() == log.facts()


@pytest.mark.usefixtures("short_segments")
def test_a_flipped_byte_is_never_read(log: EditLog, directory: Path) -> None:
    """What is loaded is always checked; a large segment, read where it lies, with `verify`."""
    log.ingest(facts(0, 58), actor="ada")
    refresh(log, directory, NOW)
    for path in sorted(directory.glob("*.parquet")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(IntegrityError, match="is not what was written"):
            Replica.open(directory, verify=True)
        if "-1-50-" not in path.name:
            with pytest.raises(IntegrityError, match="is not what was written"):
                Replica.open(directory).events()
        path.write_bytes(whole)
    assert Replica.open(directory, verify=True).events() == log.events()


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 3},
        {"v": 2},
        {"segments": []},
        {"superseded": {"../../HEAD": "2026-11-21T00:00:00Z"}},
        {"hash": "md5:1"},
        {"published_at": "today"},
    ],
    ids=str,
)
def test_a_manifest_of_another_make_is_refused(log: EditLog, directory: Path, change: dict[str, object]) -> None:
    refresh(log, directory, NOW)
    manifest = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps({**manifest, **change}))
    with pytest.raises(IntegrityError, match="MANIFEST is damaged"):
        Replica.open(directory)


def test_there_may_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no replica in"):
        Replica.open(tmp_path)


def test_its_connection_reaches_no_other_file(log: EditLog, directory: Path, tmp_path: Path) -> None:
    refresh(log, directory, NOW)
    con = Replica.open(directory).connect()
    (tmp_path / "other.csv").write_text("a,b\n")
    for sql in (f"FROM read_csv('{tmp_path}/other.csv')", f"COPY events TO '{tmp_path}/out.csv'", "INSTALL httpfs"):
        with pytest.raises(duckdb.Error):
            con.execute(sql)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("short_segments")
def test_the_folder_may_have_any_name(empty_log: Path, tmp_path: Path) -> None:
    """Names that are a pattern, a string's end or a partition to DuckDB are names."""
    directory = tmp_path / "it's [a] year=2026 *"
    log = EditLog(empty_log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SMALL", 1)
        patch.setattr(segments, "LARGE", 1)
        refresh(log, directory, NOW)
        assert Replica.open(directory).events() == log.events()


def test_a_writer_refreshes_it(log: EditLog, directory: Path) -> None:
    writer = EditLog(log.directory, replica=directory)
    writer.ingest(facts(0, 3), actor="ada")
    assert Replica.open(directory).facts() == log.facts()
    writer.retract(["f3"], actor="ada", reason="wrong")
    assert Replica.open(directory).facts() == log.facts()


def test_a_replica_that_cannot_be_refreshed_fails_no_write(
    log: EditLog, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.write_text("a file stands where the folder should")
    receipt = EditLog(log.directory, replica=directory).ingest(facts(0, 3), actor="ada")
    assert receipt.accepted == 3
    assert len(log.facts()) == 3
    assert "the replica could not be refreshed" in caplog.text
    directory.unlink()
    EditLog(log.directory, replica=directory).ingest(facts(3, 1), actor="ada")
    assert Replica.open(directory).facts() == log.facts()
