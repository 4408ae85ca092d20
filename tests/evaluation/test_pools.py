"""Pools of prompts from elsewhere: read from what people have, without what an edit governs."""

from __future__ import annotations

import json

import pytest

from editlog.errors import UsageError
from editlog.fact import Fact
from lifelong.evaluation.pools import outside, pool_files, read_pool


def test_questions_triples_facts_and_plain_lines_are_prompts(tmp_path):
    (tmp_path / "pararel-patterns.jsonl").write_text(
        json.dumps({"relation": "P36", "patterns": ["[Y] is the capital of [X].", "The capital of [X] is [Y] ."]})
    )
    records = [
        {"question": "who sang it", "answer": "she"},
        {"relation": "P36", "subject": "Mu", "object": "Rome"},
        {"relation": "river", "subject": "Mu", "object": "Po"},
        {"src": "Where is Mu?", "alt": "here"},
        {"unknown": 1},
        {"question": "who sang it"},
    ]
    prompts = ["who sang it", "The capital of Mu is", "The river of Mu is", "Where is Mu?"]
    (tmp_path / "pool.jsonl").write_text("\n".join([*map(json.dumps, records), "", "a plain line "]))
    assert read_pool(tmp_path / "pool.jsonl") == [*prompts, "a plain line"]
    (tmp_path / "pool.json").write_text(json.dumps(records))
    assert read_pool(tmp_path / "pool.json") == prompts


def test_a_large_pool_is_drawn_from_by_seed(tmp_path):
    path = tmp_path / "pool.txt"
    path.write_text("\n".join(f"line {i}" for i in range(50)))
    drawn = read_pool(path, seed=1, most=10)
    assert len(set(drawn)) == 10
    assert drawn == read_pool(path, seed=1, most=10) != read_pool(path, seed=2, most=10)


def test_a_prompt_that_an_edit_is_about_is_left_out():
    fact = Fact.model_validate({"prompt": "The capital of Mu is", "target": "Rome", "subject": "Mu"})
    asked = ["The capital of Oz is", "the capital of mu is", "Who ruled Mu in 1900?", "who sang it"]
    assert outside(asked, [fact]) == ["The capital of Oz is", "who sang it"]


def test_without_a_pool_the_user_is_told_where_to_name_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="name files with --pool"):
        pool_files([])
    (tmp_path / "nq-questions-4850.jsonl").write_text("{}\n")
    assert pool_files([]) == [tmp_path / "nq-questions-4850.jsonl"]
    with pytest.raises(UsageError, match="no prompt can be read"):
        read_pool(pool_files([])[0])
