"""`lifelong eval FILE`: records are read in any format, rejects are counted, nothing readable is an error."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from editlog.errors import LifelongError
from lifelong.evaluation.reference import SameProcess
from lifelong.evaluation.run import evaluate_file

RECORD = {"prompt": "The capital of Mu is", "target_new": "Rome", "subject": "Mu", "rephrase_prompt": "Mu has"}


class Untouched:
    """A model without edits, in which every answer is the same."""

    def __init__(self) -> None:
        self.facts: dict = {}

    def fact_of(self, fact):
        return None

    def route(self, prompts):
        return [SimpleNamespace(fact=None) for _ in prompts]

    def route_to(self, seqs):
        return []

    def generate(self, prompts, *, edits=True, routes=None, max_new_tokens=32):
        return ["Rome"] * len(prompts)

    def target_logits(self, pairs, *, edits=True, routes=None):
        return [SimpleNamespace(matched=2, total=2) for _ in pairs]

    def lengths(self, prompts):
        return [len(prompt) for prompt in prompts]

    def next_logits(self, prompts, *, edits=True, routes=None):
        return torch.zeros(len(prompts), 3)


def measure(path, **options):
    edited = Untouched()
    reference = SameProcess(edited)
    return evaluate_file(edited, path, reference=reference, recipe="default", model="tiny", experts=[], **options)


def test_good_records_are_scored_and_bad_ones_counted(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(RECORD) + "\nnonsense\n" + json.dumps({**RECORD, "prompt": "Mu is ruled from"}))
    metrics = measure(path)
    assert (metrics.edits, metrics.counts["rejected"], metrics.counts["missing"]) == (2, 1, 2)
    assert metrics.reliability.exact == metrics.generality.exact == 1.0
    assert (metrics.recipe, metrics.model, metrics.bytes_per_edit) == ("default", "tiny", None)
    assert metrics.peak_mb is not None
    assert measure(path, limit=1).edits == 1


def test_a_file_without_one_readable_record_is_an_error_that_says_why(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text('\n{"colour": "red"}\n')
    with pytest.raises(LifelongError, match=r"no record of .* can be read; line 2: none of the known formats"):
        measure(path)
