"""The way back from damage: what verifies is restored, what is lost is told by number, the damaged files are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from faults import die, failing, points_passed

from editlog.errors import IntegrityError, LifelongError, UsageError
from editlog.fact import Fact
from editlog.recover import Recovery
from editlog.store import EditLog

FACTS = [
    Fact(prompt=f"Prompt number {n} is", target=f"target {n}", subject=f"subject {n}", source="atlas") for n in range(6)
]
END = 10  # events: the workspace, a batch and three facts, twice, and a retraction


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of ten events, with an export from before the last three and a whole one beside it."""
    folder = tmp_path_factory.mktemp("intact")
    log = EditLog.create(folder / "log", actor="ada")
    log.ingest(FACTS[:3], actor="ada")
    with (folder / "early.jsonl").open("wb") as stream:
        log.export(stream, with_texts=True)
    log.ingest(FACTS[3:], actor="ada")
    log.retract(["f4"], actor="ada", reason="wrong")
    with (folder / "whole.jsonl").open("wb") as stream:
        log.export(stream, with_texts=True)
    with (folder / "events.jsonl").open("wb") as stream:
        log.export(stream)
    return folder


@pytest.fixture
def folder(intact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(intact, tmp_path / "copy")


def said(log: EditLog) -> list[tuple[str, str, str]]:
    return [(fact.ref, fact.fact.target, fact.status) for fact in log.facts()]


def damage(directory: Path, *statements: str) -> None:
    """Change the database in SQL, guards out of the way."""
    with duckdb.connect(directory / "edits.duckdb") as con:
        for name, table in con.execute("SELECT trigger_name, table_name FROM duckdb_triggers()").fetchall():
            con.execute(f"DROP TRIGGER {name} ON {table}")
        for statement in statements:
            con.execute(statement)


def cut_database(directory: Path) -> None:
    with (directory / "edits.duckdb").open("r+b") as file:
        file.truncate(10_000)


def flip_head(directory: Path) -> None:
    raw = bytearray((directory / "HEAD").read_bytes())
    raw[30] ^= 1
    (directory / "HEAD").write_bytes(raw)


def flip_a_block(directory: Path) -> None:
    path = directory / "edits.duckdb"
    raw = bytearray(path.read_bytes())
    for at in range(12288 + 4096, len(raw), 262144):
        raw[at] ^= 0x40
    path.write_bytes(raw)


def recovered(log: EditLog, **options: object) -> Recovery:
    """Recover, and hold the result to what a recovery always promises."""
    before = {path.name: path.read_bytes() for path in log.directory.iterdir() if path.is_file()}
    found = log.recover(actor="ada", reason="the disk failed", **options)
    assert log.verify() == []
    evidence = Path(found.evidence)
    assert evidence.parent == log.directory / "evidence"
    for name in {"edits.duckdb", "HEAD", "LENGTH", "edits.duckdb.wal"} & before.keys():
        assert (evidence / name).read_bytes() == before[name], "the evidence is not what was damaged"
    assert json.loads((evidence / "recovery.json").read_text())["kept"] == found.kept
    [event] = log.events(limit=1, newest_first=True)
    assert (event.kind, event.actor, event.reason) == ("log.recovered", "ada", "the disk failed")
    assert event.body["lost"] == (list(found.lost) if found.lost else None)
    assert log.head() == found.head
    log.ingest([Fact(prompt="Life goes on", target="yes")], actor="ada")
    assert log.verify() == []
    return found


def test_an_intact_log_is_left_alone(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "log").iterdir()}
    found = EditLog(folder / "log").recover(actor="ada")
    assert (found.findings, found.complete, found.head) == ([], True, None)
    assert {path.name: path.read_bytes() for path in (folder / "log").iterdir()} == before


@pytest.mark.parametrize("spoil", [cut_database, flip_a_block], ids=["cut", "bit rot"])
def test_an_export_brings_everything_back(folder: Path, spoil: Callable[[Path], None]) -> None:
    log = EditLog(folder / "log")
    before = said(log)
    spoil(log.directory)
    found = recovered(log, export=folder / "whole.jsonl")
    assert (found.complete, found.kept) == (True, END)
    assert said(log)[:-1] == before


def test_what_an_older_export_lacks_is_told_by_number(folder: Path) -> None:
    log = EditLog(folder / "log")
    cut_database(log.directory)
    found = recovered(log, export=folder / "early.jsonl")
    assert (found.kept, found.lost, found.complete) == (5, (6, END), False)
    assert said(log)[:3] == [(f"f{seq}", f"target {n}", "pending") for n, seq in enumerate((3, 4, 5))]


def test_an_export_without_texts_brings_the_events_and_tells_which_words_are_lost(folder: Path) -> None:
    log = EditLog(folder / "log")
    cut_database(log.directory)
    found = recovered(log, export=folder / "events.jsonl")
    assert (found.kept, found.lost, found.lost_texts) == (END, None, [3, 4, 5, 7, 8, 9])
    assert not found.complete


def test_a_damaged_event_is_mended_from_an_export_and_the_rest_from_the_database(folder: Path) -> None:
    log = EditLog(folder / "log")
    damage(log.directory, "UPDATE events SET actor = 'eve' WHERE seq = 4", "DELETE FROM texts WHERE seq = 3")
    found = recovered(log, export=folder / "early.jsonl")
    assert (found.complete, found.sources) == (True, {"database": 9, "export": 1})


def test_without_another_source_the_log_ends_where_it_stops_to_verify(folder: Path) -> None:
    log = EditLog(folder / "log")
    damage(log.directory, "UPDATE events SET actor = 'eve' WHERE seq = 8")
    found = recovered(log)
    assert (found.kept, found.lost) == (7, (8, END))


def test_words_that_were_changed_are_lost_and_their_event_is_not(folder: Path) -> None:
    log = EditLog(folder / "log")
    damage(log.directory, "UPDATE texts SET target = 'another' WHERE seq = 8")
    found = recovered(log)
    assert (found.kept, found.lost, found.lost_texts) == (END, None, [8])
    assert "another" not in str(said(log))


@pytest.mark.parametrize("spoil", [flip_head, lambda log: (log / "HEAD").unlink()], ids=["damaged", "gone"])
def test_without_a_head_the_end_is_not_known_and_this_is_said(folder: Path, spoil: Callable[[Path], None]) -> None:
    log = EditLog(folder / "log")
    before = said(log)
    spoil(log.directory)
    found = recovered(log)
    assert (found.kept, found.lost, found.end_known, found.complete) == (END, None, False, False)
    assert said(log)[:-1] == before


def test_an_older_database_that_was_put_back_is_told_of(folder: Path) -> None:
    log = EditLog(folder / "log")
    older = (log.directory / "edits.duckdb").read_bytes()
    log.ingest([Fact(prompt="One more is", target="one")], actor="ada")
    (log.directory / "edits.duckdb").write_bytes(older)
    assert recovered(log).lost == (END + 1, END + 2)


def test_a_cut_write_ahead_log_is_told_of(folder: Path) -> None:
    log = EditLog(folder / "log")
    die(lambda: log.ingest([Fact(prompt="One more is", target="one")], actor="ada"), "close.before")
    wal = log.directory / "edits.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[:-40])
    assert recovered(log).lost == (END + 1, END + 2)


def test_a_lost_database_comes_back_from_an_export(folder: Path) -> None:
    log = EditLog(folder / "log")
    (log.directory / "edits.duckdb").unlink()
    assert recovered(log, export=folder / "whole.jsonl").complete


def test_an_old_export_does_not_bring_back_what_was_erased(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from editlog import store
    from editlog.events import Entry

    log = EditLog(folder / "log")
    monkeypatch.setattr(store, "_OF_THE_LOG", frozenset())
    log.append([Entry("fact.redacted", {"fact": 3})], actor="ada")
    damage(log.directory, "DELETE FROM texts WHERE seq = 3", "DELETE FROM texts WHERE seq = 5")
    found = recovered(log, export=folder / "whole.jsonl")
    assert found.complete
    assert [fact.ref for fact in log.facts()] == ["f4", "f5", "f7", "f8", "f9", "f14"]


def test_an_export_of_another_log_or_of_nonsense_brings_nothing(folder: Path, tmp_path: Path) -> None:
    log = EditLog(folder / "log")
    other = EditLog.create(tmp_path / "other", actor="ada")
    with (tmp_path / "other.jsonl").open("wb") as stream:
        other.export(stream)
    (tmp_path / "nonsense.jsonl").write_bytes(b'\x00\xff\n{"event": 3}\n[[[\n{"event": {"seq": 1}, "hash": 5}\n')
    damage(log.directory, "UPDATE events SET actor = 'eve' WHERE seq = 8")
    for name in ("other.jsonl", "nonsense.jsonl"):
        assert log.recover(actor="ada", export=tmp_path / name, dry_run=True).sources == {"database": 7}
    with pytest.raises(UsageError, match="no such file"):
        log.recover(actor="ada", export=tmp_path / "missing.jsonl")


def test_where_nothing_verifies_nothing_is_changed(folder: Path) -> None:
    log = EditLog(folder / "log")
    cut_database(log.directory)
    before = {path.name: path.read_bytes() for path in log.directory.iterdir()}
    with pytest.raises(IntegrityError, match=r"--from.*nothing was changed"):
        log.recover(actor="ada")
    assert {path.name: path.read_bytes() for path in log.directory.iterdir()} == before


def test_a_dry_run_tells_the_same_and_changes_nothing(folder: Path) -> None:
    log = EditLog(folder / "log")
    damage(log.directory, "UPDATE events SET actor = 'eve' WHERE seq = 8")
    before = {path.name: path.read_bytes() for path in log.directory.iterdir()}
    assert log.recover(actor="ada", dry_run=True).lost == (8, END)
    assert {path.name: path.read_bytes() for path in log.directory.iterdir()} == before


def test_a_second_recovery_does_not_lose_again_what_the_first_has_told_of(folder: Path) -> None:
    log = EditLog(folder / "log")
    damage(log.directory, "DELETE FROM texts WHERE seq = 3")
    assert recovered(log).lost_texts == [3]
    damage(log.directory, "DELETE FROM texts WHERE seq = 5")
    assert recovered(log).lost_texts == [5]


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.crash)], ids=["sampled", "all"])
def test_a_recovery_that_is_interrupted_is_done_by_calling_it_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed, or out of space, at each of its points: the log is still damaged, or whole."""

    def damaged(name: str) -> EditLog:
        log = EditLog(shutil.copytree(folder / "log", tmp_path / name))
        die(lambda: log.ingest([Fact(prompt="One more is", target="one")], actor="ada"), "close.before")
        (log.directory / "edits.duckdb.wal").write_bytes(b"torn")
        return log

    first = damaged("all")
    points = sorted(points_passed(monkeypatch, lambda: first.recover(actor="ada")))
    assert len(points) >= 16
    for number, point in enumerate(points[::step]):
        log = damaged(f"log-{number}")
        fault = ("crash", "ENOSPC")[number % 2]
        if fault == "crash":
            die(lambda log=log: log.recover(actor="ada"), point)
        else:
            with failing(point, fault), pytest.raises(LifelongError):
                log.recover(actor="ada")
        log.recover(actor="ada")
        assert log.verify() == [], point
        told = [event.body["lost"] for event in log.events(kinds=["log.recovered"])]
        assert told == [[END + 1, END + 2]], point
        assert len(log.facts()) == len(FACTS)
