"""The inbox: what was spooled because the log was held is in the log once, in order, whatever is killed when."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_crash import die, points_passed

from editlog import inbox
from editlog.errors import IntegrityError
from editlog.fact import Fact
from editlog.lock import locked
from editlog.store import EditLog

SYDNEY = Fact(prompt="The capital of Australia is", target="Sydney", subject="Australia", relation="capital")
CANBERRA = SYDNEY.model_copy(update={"target": "Canberra", "rephrases": ("Australia's capital:",)})
FACTS = [Fact(prompt=f"Prompt number {n} is", target="one") for n in range(4)]
STEPS = ("write", "sync", "rename", "sync_directory")
SPOOLING = [f"inbox.{step}.{side}" for step in STEPS for side in ("before", "after")]
REMOVING = [f"inbox.remove{step}.{side}" for step in ("", ".sync_directory") for side in ("before", "after")]
RACER = """
import sys
from pathlib import Path
from editlog.errors import Busy
from editlog.fact import Fact
from editlog.store import EditLog
number = int(sys.argv[2])
log = EditLog(Path(sys.argv[1]), timeout=0.05)
facts = [Fact(prompt=f"Prompt number {n} is", target="one") for n in range(number, number + 20)]
with log.prepare(facts) as prepared:
    try:
        log.ingest(prepared, actor=f"racer-{number}")
    except Busy:
        log.spool(prepared, actor=f"racer-{number}")
"""


def spool(log: EditLog, facts: list[Fact], **more: object) -> str:
    with log.prepare(facts) as prepared:
        return log.spool(prepared, actor="ada", **more)


def targets(log: EditLog) -> list[str]:
    return [fact.fact.target for fact in log.facts()]


def test_what_is_spooled_while_the_log_is_held_goes_in_first_and_in_order(log: EditLog) -> None:
    with locked(log.directory, shared=False, timeout=1):
        first = spool(log, [SYDNEY], reason="atlas of 1901", origin="old.jsonl", rejected=2)
        second = spool(log, [CANBERRA])
        assert inbox.waiting(log.directory).count == 2
    assert targets(log) == []
    log.ingest(FACTS[:1], actor="bob")
    assert targets(log) == ["Sydney", "Canberra", "one"]
    assert log.facts()[1].governs
    assert log.facts()[1].fact == CANBERRA
    assert [event.body["spool"] for event in log.events(kinds=["inbox.drained"])] == [first, second]
    batch = log.events(kinds=["ingest.batch"])[0]
    assert (batch.actor, batch.reason, batch.body["origin"], batch.body["rejected"]) == (
        "ada",
        "atlas of 1901",
        "old.jsonl",
        2,
    )
    assert inbox.waiting(log.directory) == inbox.Waiting(0, None)
    assert log.verify() == []


def test_the_order_holds_though_the_clock_goes_back(log: EditLog) -> None:
    names = [spool(log, [fact]) for fact in FACTS]
    log._clock = lambda: log.events()[0].at  # the first moment of all
    names.append(spool(log, [SYDNEY]))
    assert names == sorted(names)


def test_an_ingest_is_drained_once_though_nothing_in_it_was_new(log: EditLog) -> None:
    """Were it taken in again after the fact was retracted, the fact would be back."""
    log.ingest([SYDNEY], actor="bob")
    spool(log, [SYDNEY])
    [path] = inbox.files(log.directory)
    kept = path.read_bytes()
    log.drain()
    path.write_bytes(kept)  # as if killed before it was deleted
    log.retract([log.facts()[0].ref], actor="bob", reason="wrong")
    assert log.drain() == []
    assert [fact.status for fact in log.facts()] == ["retracted"]
    assert inbox.files(log.directory) == []


@pytest.mark.parametrize("point", SPOOLING)
def test_a_spooling_that_dies_leaves_the_whole_ingest_or_nothing(empty_log: Path, tmp_path: Path, point: str) -> None:
    log = EditLog(shutil.copytree(empty_log, tmp_path / "log"))
    die(lambda: spool(log, FACTS), point)
    log.drain()
    assert len(log.facts()) == (4 if point in SPOOLING[SPOOLING.index("inbox.rename.after") :] else 0)
    assert [path for path in (log.directory / inbox.INBOX).iterdir() if path.name not in ("LOCK", "TURN")] == []
    log.ingest(FACTS, actor="ada")
    assert len(log.facts()) == 4


@pytest.mark.parametrize("point", [*REMOVING, "commit.before", "commit.after", "head.rename.before", "close.after"])
def test_a_drain_that_dies_is_carried_on_by_the_next(empty_log: Path, tmp_path: Path, point: str) -> None:
    log = EditLog(shutil.copytree(empty_log, tmp_path / "log"))
    spool(log, FACTS[:2])
    spool(log, FACTS[1:3], reassert=True)
    die(log.drain, point)
    log = EditLog.open(log.directory)
    log.ingest(FACTS, actor="bob")
    assert [fact.fact.prompt for fact in log.facts()] == [fact.prompt for fact in FACTS]
    assert len(log.events(kinds=["inbox.drained"])) == 2
    assert inbox.files(log.directory) == []
    assert log.verify() == []


def test_the_tables_name_every_point(log: EditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    spool(log, FACTS[:1])  # makes the folder
    assert points_passed(monkeypatch, lambda: spool(log, FACTS)) == set(SPOOLING)
    passed = points_passed(monkeypatch, log.drain)
    assert {point for point in passed if point.startswith("inbox")} == set(REMOVING)


def test_a_redaction_leaves_no_words_in_the_inbox(log: EditLog) -> None:
    log.ingest([SYDNEY], actor="bob")
    spool(log, [SYDNEY])
    log.redact([log.facts()[0].seq], actor="bob", reason="asked to")
    assert inbox.files(log.directory) == []
    assert log.facts() == []


@pytest.mark.parametrize("damage", [b"", b"{}\n", b'{"prompt":"x","target":"y"}\n'])
def test_a_spooled_ingest_that_was_altered_is_refused_and_kept(log: EditLog, damage: bytes) -> None:
    spool(log, FACTS)
    [path] = inbox.files(log.directory)
    path.write_bytes(path.read_bytes() + damage if damage.startswith(b'{"p') else damage)
    with pytest.raises(IntegrityError, match="is not what was spooled"):
        log.ingest([SYDNEY], actor="bob")
    assert path.exists()
    assert log.facts() == []


def test_racing_ingests_that_may_spool_all_end_in_the_log(log: EditLog) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(log.directory), str(10 * n)], stderr=subprocess.PIPE)
        for n in range(8)
    ]
    assert [(racer.communicate()[1], racer.returncode) for racer in racers] == [(b"", 0)] * 8
    log.drain()
    assert sorted(fact.fact.digest for fact in log.facts()) == sorted(
        Fact(prompt=f"Prompt number {n} is", target="one").digest for n in range(90)
    )
    assert log.verify() == []
