"""The response log: what was told is durable before it is told, in order, and can be erased."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults import die

from editlog import durable
from editlog.errors import IntegrityError, LifelongError, UsageError
from editlog.responses import Response, append_responses, erase, read_responses

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def told(answer: str, at: datetime = NOON, prompt: str = "The mayor is", fact: str | None = "f3") -> Response:
    return Response(at, "r-1", "kiosk", prompt, answer, fact, None, 0.9, 0.8, "ab" * 16, None)


def answers(directory: Path) -> list[str]:
    found: list[str] = read_responses(directory).column("answer").to_pylist()
    return found


def test_answers_come_back_as_they_were_told_a_segment_for_each_day(tmp_path: Path) -> None:
    log = tmp_path / "responses"
    append_responses(log, [told("one"), told("two", prompt="Wie heißt\nsie?", fact=None)])
    append_responses(log, [told("three", NOON + timedelta(days=1))])
    assert answers(log) == ["one", "two", "three"]
    assert [path.name for path in sorted(log.glob("*.jsonl"))] == [
        "responses-2026-11-21.jsonl",
        "responses-2026-11-22.jsonl",
    ]
    before = read_responses(log, before=datetime(2026, 11, 22))
    assert before.column("prompt").to_pylist() == ["The mayor is", "Wie heißt\nsie?"]
    assert read_responses(tmp_path / "none").num_rows == 0


def test_a_line_that_a_crash_cut_short_was_never_told(tmp_path: Path) -> None:
    append_responses(tmp_path, [told("one"), told("two")])
    [segment] = tmp_path.glob("*.jsonl")
    for cut in (10, 60, 150):
        segment.write_bytes(segment.read_bytes()[:-cut])
        assert answers(tmp_path) == ["one"]
        append_responses(tmp_path, [told("two")])
        assert answers(tmp_path) == ["one", "two"]


def test_a_line_that_nobody_wrote_is_named(tmp_path: Path) -> None:
    append_responses(tmp_path, [told("one")])
    [segment] = tmp_path.glob("*.jsonl")
    segment.write_bytes(b"?" + segment.read_bytes())
    with pytest.raises(IntegrityError, match="line 1 is not what was written"):
        answers(tmp_path)


def test_writers_take_turns(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [append_responses(tmp_path, [told(f"{n}-{i}")]) for i in range(5)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers(tmp_path)) == sorted(f"{n}-{i}" for n in range(4) for i in range(5))


def test_erasing_leaves_the_rest_and_no_trace_of_the_words(tmp_path: Path) -> None:
    append_responses(tmp_path, [told("xyzzy"), told("two", fact="f4"), told("three", NOON + timedelta(days=1))])
    assert erase(tmp_path, lambda answer: answer["answer"] == "xyzzy") == 1
    assert answers(tmp_path) == ["two", "three"]
    assert not any(b"xyzzy" in path.read_bytes() for path in tmp_path.iterdir())
    assert erase(tmp_path / "none", lambda _: True) == 0


def test_an_erasure_that_was_killed_leaves_no_words_once_it_is_called_again(tmp_path: Path) -> None:
    append_responses(tmp_path, [told("xyzzy"), told("two", fact="f4"), told("plugh")])
    die(lambda: erase(tmp_path, lambda answer: answer["answer"] == "xyzzy"), "responses.erase.sync.after")
    assert erase(tmp_path, lambda answer: answer["answer"] != "two") == 2
    assert not any(word in path.read_bytes() for path in tmp_path.iterdir() for word in (b"xyzzy", b"plugh"))
    assert answers(tmp_path) == ["two"]


def test_what_cannot_be_recorded_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        append_responses(tmp_path, [told("\ud800")])
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    with pytest.raises(LifelongError, match="no answer is given"):
        append_responses(blocked / "responses", [told("one")])

    def full(point: str, path: Path) -> None:
        raise durable.disk_full(path)

    monkeypatch.setattr(durable, "operation", full)
    with pytest.raises(LifelongError, match="the disk is full"):
        append_responses(tmp_path, [told("one")])
