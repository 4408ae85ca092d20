"""What each figure means, shown on a model that is a dictionary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from watcher import Watcher

from editlog.fact import Fact
from lifelong.evaluation.harness import evaluate
from lifelong.evaluation.metrics import Accuracy, Exact, Locality, Metrics, Router
from lifelong.evaluation.table import format_table

BASE = "I do not know"


class Route(NamedTuple):
    fact: int | None


class Score(NamedTuple):
    matched: int
    total: int
    predicted: tuple[int, ...] = ()


class DictModel:
    """An edited model: `experts` says what an expert answers to a prompt, `router` which expert gets it."""

    def __init__(self, served: dict[str, int], experts: dict[tuple[int, str], str], router: dict[str, int]) -> None:
        self.served, self.experts, self.router = served, experts, router
        self.generated: list[str] = []

    def answer(self, prompt: str, route: Route) -> str:
        return self.experts.get((route.fact, prompt), BASE) if route.fact is not None else BASE

    def route(self, prompts: Sequence[str]) -> list[Route]:
        return [Route(self.router.get(prompt)) for prompt in prompts]

    def route_to(self, fact_seqs: Sequence[int]) -> list[Route]:
        return [Route(seq) for seq in fact_seqs]

    def fact_of(self, fact: Fact) -> int | None:
        return self.served.get(fact.key)

    def _routes(self, prompts, edits, routes):
        if not edits:
            return [Route(None)] * len(prompts)
        return self.route(prompts) if routes is None else routes

    def generate(self, prompts, *, edits=True, routes=None, max_new_tokens=32) -> list[str]:
        self.generated.extend(prompts)
        routes = self._routes(prompts, edits, routes)
        texts = [self.answer(prompt, route) for prompt, route in zip(prompts, routes, strict=True)]
        return [" " + " ".join(text.split()[:max_new_tokens]) for text in texts]

    def target_logits(self, pairs, *, edits=True, routes=None) -> list[Score]:
        routes = self._routes([prompt for prompt, _ in pairs], edits, routes)
        scores = []
        for (prompt, target), route in zip(pairs, routes, strict=True):
            wanted = [*target.split(), "<eos>"]
            said = [*self.answer(prompt, route).split(), "<eos>"] + [""] * len(wanted)
            scores.append(Score(sum(a == b for a, b in zip(wanted, said, strict=False)), len(wanted)))
        return scores

    def lengths(self, prompts) -> list[int]:
        return [len(prompt) for prompt in prompts]

    def next_logits(self, prompts, *, edits=True, routes=None) -> torch.Tensor:
        routes = self._routes(prompts, edits, routes)
        return torch.tensor([[1.0, -0.0 if route.fact is None else 0.0] for route in routes])


def fact(subject: str, target: str, **probes) -> Fact:
    record = {
        "prompt": f"The capital of {subject} is",
        "target": target,
        "subject": subject,
        "probes": probes,
    }
    return Fact.model_validate(record)


def model(
    facts: Sequence[Fact], router: dict[str, int], answers: dict[tuple[int, str], str] | None = None
) -> DictModel:
    """Every fact served under its place in the list and answering its own prompt; `answers` says more."""
    experts = {(seq, one.prompt): one.target for seq, one in enumerate(facts)} | (answers or {})
    router = {**{one.prompt: seq for seq, one in enumerate(facts)}, **router}
    return DictModel({one.key: seq for seq, one in enumerate(facts)}, experts, router)


def test_reliability_is_exact_only_when_the_generated_text_is_the_target_and_stops():
    facts = [fact("A", "Rome"), fact("B", "New York"), fact("C", "Cafe\u0301"), fact("D", "Oslo")]
    edited = model(facts, {}, {(1, "The capital of B is"): "New Orleans", (3, "The capital of D is"): "Oslo is big"})
    metrics = evaluate(edited, facts)
    assert metrics.reliability.exact == 2 / 4
    tokens = [1, 2 / 3, 1, 1 / 2]
    assert metrics.reliability.token == pytest.approx(sum(tokens) / 4)


def test_a_record_that_is_not_served_is_scored_as_the_base_answers_it():
    facts = [fact("A", "Rome"), fact("B", "Oslo")]
    edited = model(facts[:1], {"The capital of B is": 0}, {(0, "The capital of B is"): "Oslo"})
    metrics = evaluate(edited, facts)
    assert metrics.reliability.exact == 1.0
    assert metrics.oracle.reliability.exact == 1 / 2, "no expert of B's own gives that answer"
    assert (metrics.counts["edited"], metrics.counts["missing"]) == (1, 1)


def test_the_oracle_shows_what_the_router_alone_has_lost():
    facts = [
        fact("A", "Rome", generality=["A is ruled from", "A: capital?", "A! capital"]),
        fact("B", "Oslo"),
    ]
    answers = {(0, prompt): "Rome" for prompt in ("A is ruled from", "A: capital?")}
    edited = model(facts, {"A is ruled from": 0, "A: capital?": 1}, answers)
    metrics = evaluate(edited, facts)
    assert metrics.generality.exact == pytest.approx(1 / 3)
    assert metrics.oracle.generality.exact == pytest.approx(2 / 3)
    assert metrics.router == Router(recall=2 / 3, precision=1.0, right_fact=1 / 3)
    assert edited.generated.count("A is ruled from") == 1, "the right route is not computed twice"


def test_locality_compares_with_and_without_edits_kind_by_kind():
    asked = ["A was painted by", "A lies in", "The capital of Norway is", "who sang it"]
    facts = [fact("A", "Rome", locality=asked)]
    router = {"A was painted by": 0, "A lies in": 0}
    metrics = evaluate(model(facts, router, {(0, "A was painted by"): "Rome"}), facts)
    assert metrics.locality.same_subject == Locality(agreement=0.5, bit_identical=0.0, false_hits=1.0)
    assert metrics.locality.same_relation == Locality(agreement=1.0, bit_identical=1.0, false_hits=0.0)
    assert metrics.locality.unrelated == Locality(agreement=1.0, bit_identical=1.0, false_hits=0.0)
    assert metrics.router == Router(), "without a probe in scope there is no recall, and no precision either"


def test_portability_is_generated_and_only_where_an_answer_is_known():
    asked = [
        {"prompt": "The anthem of A's capital is", "answer": "Hymn"},
        {"prompt": "A's river is", "answer": "Po"},
    ]
    facts = [fact("A", "Rome", portability=[*asked, "The mayor of A's capital is"])]
    metrics = evaluate(model(facts, {"A's river is": 0}, {(0, "A's river is"): "Po"}), facts)
    assert metrics.portability == Exact(1 / 2)
    assert (metrics.counts["portability"], metrics.counts["portability_without_answer"]) == (2, 1)


def test_governed_and_own_wordings_stand_in_no_figure():
    facts = [
        fact(
            "A",
            "Rome",
            generality=["the capital of a is"],
            locality=["The capital of B is", "B was painted by"],
        ),
        fact("B", "Oslo"),
    ]
    metrics = evaluate(model(facts, {"B was painted by": 1}), facts)
    assert metrics.governed_probes == 2
    assert metrics.counts["dropped_own_wording"] == 1
    assert metrics.generality == Accuracy()
    assert metrics.locality.same_relation == metrics.locality.unrelated == Locality()


def test_only_the_latest_record_of_a_key_is_scored_but_every_record_is_an_edit():
    facts = [fact("A", "Rome"), fact("A", "Oslo"), fact("A", "Rome")]
    metrics = evaluate(model(facts[1:2], {}), facts)
    assert (metrics.edits, metrics.counts["facts"], metrics.counts["superseded"]) == (3, 1, 2)
    assert metrics.reliability.exact == 1.0
    assert evaluate(model(facts[:1], {}), facts, limit=1).edits == 1


def test_a_long_target_is_given_the_room_it_needs():
    facts = [fact("A", " ".join(["word"] * 60))]
    assert evaluate(model(facts, {}), facts).reliability.exact == 1.0


def test_nothing_measured_is_none_and_no_key_is_left_out():
    metrics = evaluate(model([], {}), [])
    share_names = {"token": None, "exact": None}
    kind = {"agreement": None, "bit_identical": None, "false_hits": None}
    assert list(metrics.to_dict().items()) == [
        ("edits", 0),
        ("recipe", None),
        ("model", None),
        ("reliability", share_names),
        ("generality", share_names),
        ("oracle", {"reliability": share_names, "generality": share_names}),
        ("locality", {"unrelated": kind, "same_relation": kind, "same_subject": kind}),
        ("portability", {"exact": None}),
        ("retention", {"exact": None}),
        ("router", {"recall": None, "precision": None, "right_fact": None}),
        ("governed_probes", 0),
        ("seconds_per_edit", None),
        ("bytes_per_edit", None),
        ("peak_mb", metrics.peak_mb),
        ("counts", metrics.counts),
    ]
    assert set(metrics.counts.values()) == {0}
    assert json.loads(json.dumps(metrics.to_dict())) == metrics.to_dict()


def test_progress_counts_every_row_of_every_stage_once():
    facts = [fact("A", "Rome", generality=["A is ruled from"], locality=["who sang it"])]
    watcher = Watcher()
    evaluate(model(facts, {}), facts, progress=watcher)
    assert watcher.told == [
        ["reliability", 1, 1],
        ["generality", 1, 1],
        ["generality, oracle", 1, 1],
        ["locality", 1, 1],
        ["done"],
    ]


def test_the_table_shows_figures_and_a_dash_for_what_was_not_measured():
    facts = [fact("A", "Rome", generality=["A is ruled from"])]
    metrics: Metrics = evaluate(model(facts, {}), facts, recipe="default", model="tiny", bytes_per_edit=4096)
    table = format_table(metrics)
    assert "edits 1, recipe default, model tiny" in table
    assert ["reliability", "1.000", "1.000", "1.000", "1.000", "1"] in [line.split() for line in table.splitlines()]
    assert ["retention", "-", "-", "-", "-", "-"] in [line.split() for line in table.splitlines()]
    assert "an edit: - s, 4096 bytes; peak memory: " in table
