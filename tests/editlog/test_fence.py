"""A writer that slept while another took over is refused in its transaction, and changes nothing.

Three guards stand in its way, each enough where the others are blind: whether LOCK is still the file it locked, whether
HEAD is still where it began, and the epoch in the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from editlog import head, lock, redaction
from editlog.errors import Busy
from editlog.events import Entry, Stamp
from editlog.fact import Fact
from editlog.head import Head
from editlog.lock import locked
from editlog.session import writing
from editlog.store import EditLog, utc_now

SLEEPER = """
import sys
from pathlib import Path
from editlog.errors import Busy
from editlog.events import Entry, Stamp
from editlog.session import writing
from editlog.store import utc_now
directory = Path(sys.argv[1])
try:
    with writing(directory, timeout=5, clock=utc_now) as writer:
        writer.append([Entry("base.attached", {"fingerprint": "sha256:" + "0" * 64})], Stamp(utc_now(), "sleeper"))
        if "deleted" in sys.argv:
            for name in ("LOCK", "TURN"):
                (directory / name).unlink()
            (directory / "edits.duckdb").open("rb").close()  # which gives DuckDB's own lock away
        print("asleep", flush=True)
        sys.stdin.readline()
        writer.commit()
except Busy as busy:
    sys.exit(str(busy))
print("committed", flush=True)
"""
ATTACHED = Entry("base.attached", {"fingerprint": "sha256:" + "0" * 64})
FACT = Fact(prompt="The capital of Australia is", target="Canberra")


def sleeper(log: EditLog, *how: str) -> subprocess.Popen[str]:
    """A process in the middle of its transaction, until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(log.directory), *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asleep\n"
    return process


def test_a_sleeper_whose_locks_were_lost_wakes_to_find_another_was_here(log: EditLog) -> None:
    """Both locks are gone, so a second process wrote; the first sees its own past in the database, and HEAD on disk."""
    process = sleeper(log, "deleted")
    receipt = log.ingest([FACT], actor="ada")
    out, err = process.communicate("wake up\n", timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "another writer has taken over" in err
    assert log.head() == receipt.head
    assert log.verify() == []
    assert [event.actor for event in log.events(after=1)] == ["ada", "ada"]
    log.ingest([Fact(prompt="The capital of Austria is", target="Vienna")], actor="ada")
    assert log.verify() == []


def test_a_sleeper_that_has_its_locks_keeps_the_others_out(log: EditLog) -> None:
    """Stopped by the system for as long as it likes: others are told to come again, and nothing is overtaken."""
    process = sleeper(log)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(Busy, match="held by another process"):
        EditLog(log.directory, timeout=0.2).ingest([FACT], actor="ada")
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate("wake up\n", timeout=60) == ("committed\n", "")
    log.ingest([FACT], actor="ada")
    assert [event.actor for event in log.events(after=1)] == ["sleeper", "ada", "ada"]
    assert log.verify() == []


def test_a_writer_whose_lock_file_was_deleted_does_not_commit(log: EditLog) -> None:
    before = log.head()
    with pytest.raises(Busy, match="taken over"), writing(log.directory, timeout=1, clock=utc_now) as writer:
        writer.append([ATTACHED], Stamp(utc_now(), "ada"))
        (log.directory / "LOCK").unlink()
        writer.commit()
    assert log.head() == before
    assert log.verify() == []


def test_a_lock_whose_file_is_deleted_before_it_is_locked_is_asked_for_again(
    log: EditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it; whoever comes next would lock another one."""
    path, lock_it, deleted = log.directory / "LOCK", lock._try, []

    def slow(descriptor: int, shared: bool) -> bool:
        if not deleted and os.path.samestat(os.fstat(descriptor), path.stat()):
            path.unlink()
            deleted.append(path)
        return lock_it(descriptor, shared)

    monkeypatch.setattr(lock, "_try", slow)
    with locked(log.directory, shared=False, timeout=5) as held:
        assert deleted
        assert held.is_the_one()


def test_a_writer_that_finds_another_head_does_not_commit(log: EditLog) -> None:
    """Where a file system does not keep its word about locks, HEAD says that someone else was here."""
    before = log.head()
    after = Head(before.workspace, before.seq + 1, "sha256:" + "0" * 64, before.epoch + 1)
    kept = (log.directory / "HEAD").read_bytes()
    with pytest.raises(Busy, match="taken over"), writing(log.directory, timeout=1, clock=utc_now) as writer:
        writer.append([ATTACHED], Stamp(utc_now(), "ada"))
        (log.directory / "HEAD").write_bytes(after.encode())
        writer.commit()
    assert head.read(log.directory) == after  # which is for the other to finish
    (log.directory / "HEAD").write_bytes(kept)
    assert log.head() == before
    assert log.verify() == []


def test_a_writer_without_the_lock_does_not_commit(log: EditLog) -> None:
    with pytest.raises(Busy, match="taken over"), writing(log.directory, timeout=1, clock=utc_now) as writer:
        writer.append([ATTACHED], Stamp(utc_now(), "ada"))
        writer.held = None
        writer.commit()


def test_a_redaction_that_was_overtaken_swaps_nothing(log: EditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the whole log anew, which takes long: what another wrote meanwhile must not be lost."""
    log.ingest([FACT], actor="ada")
    slow = redaction._written

    def overtaken(directory: Path, *rest: object) -> tuple[Head, Head]:
        found = slow(directory, *rest)  # type: ignore[arg-type]
        (directory / "LOCK").unlink()
        EditLog(directory).ingest([Fact(prompt="The capital of Austria is", target="Vienna")], actor="bo")
        return found

    monkeypatch.setattr(redaction, "_written", overtaken)
    with pytest.raises(Busy, match="taken over"):
        log.redact([3], actor="ada", reason="asked to")
    assert [fact.actor for fact in log.facts()] == ["ada", "bo"]
    assert log.verify() == []


def test_a_lock_knows_whether_its_file_is_the_one(tmp_path: Path) -> None:
    with locked(tmp_path, shared=False, timeout=1) as held:
        assert held.is_the_one()
        (tmp_path / "LOCK").unlink()
        assert not held.is_the_one()
        with locked(tmp_path, shared=False, timeout=1) as other:
            assert other.is_the_one()
            assert not held.is_the_one()
