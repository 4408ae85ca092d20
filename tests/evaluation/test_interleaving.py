"""Several streams as one: each keeps its order, and records come again unchanged or contradicted."""

from __future__ import annotations

import json

import pytest

from editlog.errors import UsageError
from editlog.fact import Fact
from lifelong.evaluation.interleaving import edited_again, interleaved
from lifelong.evaluation.stream import read_stream


def stream_of(name: str, count: int) -> list[Fact]:
    return [
        Fact.model_validate(
            {
                "prompt": f"{name} {i} is",
                "target": f"{name}-{i % 7}",
                "probes": {"generality": [f"So {name} {i} is"], "portability": [{"prompt": f"{i}?", "answer": "old"}]},
            }
        )
        for i in range(count)
    ]


def places(facts: list[Fact], name: str) -> list[int]:
    return [place for place, fact in enumerate(facts) if fact.prompt.startswith(name)]


def test_each_stream_keeps_its_order_and_is_spread_over_the_whole():
    long, short = stream_of("long", 100), stream_of("short", 10)
    together = interleaved([long, short])
    assert [fact for fact in together if fact in long] == long
    assert [fact for fact in together if fact in short] == short
    first, last = places(together, "short")[0], places(together, "short")[-1]
    assert first < 11
    assert last > 98


def test_what_comes_again_stands_behind_its_first_place():
    facts = stream_of("one", 60)
    together = interleaved([facts], repeats=20, contradictions=5, seed=3)
    assert len(together) == 85
    assert together == interleaved([facts], repeats=20, contradictions=5, seed=3)
    digests = [fact.digest for fact in together]
    assert sum(digests.count(digest) == 2 for digest in set(digests)) == 20
    again = edited_again(together)
    assert len(again) == 5
    for fact in together:
        if fact.digest in again:
            before = next(i for i, other in enumerate(together) if other.key == fact.key)
            assert before < digests.index(fact.digest)
            assert together[before].target != fact.target


def test_a_contradiction_keeps_no_probe_of_what_followed_from_the_old_target():
    together = interleaved([stream_of("one", 10)], contradictions=3)
    again = edited_again(together)
    contradicting = [fact for fact in together if fact.digest in again]
    assert len(contradicting) == 3
    assert all(fact.probes.generality and not fact.probes.portability for fact in contradicting)


def test_more_cannot_come_again_than_there_is():
    with pytest.raises(UsageError, match="12 of them cannot come again"):
        interleaved([stream_of("one", 10)], repeats=6, contradictions=6)
    with pytest.raises(UsageError, match="no record has another target"):
        interleaved([stream_of("one", 1)], contradictions=1)


def test_files_of_different_formats_make_one_stream(tmp_path):
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "zsre.json"
    ours.write_text("".join(json.dumps(fact.record()) + "\n" for fact in stream_of("ours", 6)), encoding="utf-8")
    record = {"src": "Who wrote it?", "alt": "Nobody", "rephrase": "By whom was it written?", "subject": "it"}
    theirs.write_text(json.dumps([{**record, "src": f"Who wrote {i}?"} for i in range(3)]), encoding="utf-8")
    stream = read_stream([ours, theirs], edits=9, repeats=1)
    assert stream.name == "ours.jsonl, zsre.json"
    assert len(stream.facts) == 9
    assert {fact.prompt.split()[0] for fact in stream.facts} == {"ours", "Who"}
