"""A gate built from a handful of facts: what is a hit, what is a miss, and what it keeps on disk."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from editlog.canonical import fold
from editlog.errors import IntegrityError
from lifelong.anchors.encoder import LexicalEncoder, default_encoder
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact

BIRTH = ScopedFact(1, "Ada Lovelace was born in", "Ada Lovelace", rephrases=("The birthplace of Ada Lovelace is",))
SPOUSE = ScopedFact(
    2, "Who was Ada Lovelace married to?", "Ada Lovelace", near_misses=("Who was Ada Lovelace's tutor?",)
)
OWNER = ScopedFact(3, "Which company owns Tir-Phil railway station?", "Tir-Phil railway station")
SKY = ScopedFact(4, "what colour is the sky at noon")
FACTS = (BIRTH, SPOUSE, OWNER, SKY)


def build(*facts):
    return Gate.build(facts, encoder=default_encoder(), budget=LocalityBudget())


def hit(gate, prompt, **options):
    return gate.route([prompt], **options)[0].fact


@pytest.fixture(scope="module")
def gate():
    return build(*FACTS)


def test_every_anchored_wording_is_a_certain_hit(gate):
    wordings = [text for fact in FACTS for text in (fact.prompt, *fact.rephrases)]
    decisions = gate.route(wordings)
    assert [decision.fact for decision in decisions] == [1, 1, 2, 3, 4]
    assert all(decision.score == 1.0 for decision in decisions)


def test_case_spaces_and_width_do_not_change_a_wording(gate):
    assert hit(gate, "  WHO was  Ada Lovelace married to?") == 2


def test_a_stranger_is_a_miss_and_says_what_came_nearest(gate):
    assert [d.fact for d in gate.route(["Who wrote Hamlet?", "The Clifton bridge crosses the", "", "??", "42"])] == [
        None
    ] * 5


def test_another_subject_under_the_same_relation_is_a_miss(gate):
    assert hit(gate, "Mary Somerville was born in") is None
    assert hit(gate, "Which company owns Birdhill railway station?") is None


def test_another_relation_of_the_same_subject_is_a_miss(gate):
    assert hit(gate, "What is the name of the programming language named after Ada Lovelace?") is None


def test_a_word_that_narrows_makes_another_question():
    gate = build(ScopedFact(1, "The president of Namibia is", "Namibia"))
    assert hit(gate, "Who is the president of Namibia?") == 1
    assert hit(gate, "Who was the first president of Namibia?") is None
    assert hit(gate, "The vice president of Namibia is") is None


def test_a_fact_corrected_in_other_words_answers_with_the_latest():
    asked = "Who is the president of Namibia?"
    earlier, later = ScopedFact(1, "The president of Namibia is", "Namibia"), ScopedFact(2, asked, "Namibia")
    unrelated = ScopedFact(3, "The capital of Namibia is", "Namibia")
    reworded = "Tell me: the president of Namibia is"
    assert hit(build(earlier, unrelated), reworded) == 1
    assert hit(build(earlier, later, unrelated), reworded) == 2
    assert hit(build(earlier, later, unrelated), "The president of Namibia is") == 1


def test_a_subject_named_word_for_word_is_no_excuse_for_another_question():
    gate = build(ScopedFact(1, "In which land was Saint Patrick born?", "Saint Patrick"))
    assert hit(gate, "On which day is the feast of Saint Patrick?") is None
    (found,) = gate.explain("On which day is the feast of Saint Patrick?").candidates
    assert found.evidence.name == 1.0


def test_no_threshold_lies_below_even_odds(gate):
    assert min(gate.thresholds.values()) >= 0.0


def test_a_listed_near_miss_is_a_miss(gate):
    assert hit(gate, "Who was Ada Lovelace's tutor?") is None


def test_a_near_miss_yields_to_a_fact_that_says_the_same(gate):
    taught = ScopedFact(9, "Who was Ada Lovelace's tutor?", "Ada Lovelace")
    assert hit(build(*FACTS, taught), "Who was Ada Lovelace's tutor?") == 9


def test_the_latest_fact_of_a_wording_wins():
    again = ScopedFact(7, BIRTH.prompt, "Ada Lovelace")
    assert hit(build(again, *FACTS), BIRTH.prompt) == 7
    assert hit(build(*FACTS, again), BIRTH.prompt) == 7


def test_a_retracted_wording_falls_to_no_neighbour():
    retracted = ScopedFact(8, "Ada Lovelace came into the world in", "Ada Lovelace", negative=True)
    assert hit(build(*FACTS, retracted), "Ada Lovelace came into the world in") is None


def test_a_new_fact_takes_a_retracted_wording_back():
    retracted = ScopedFact(8, "Ada Lovelace died in", "Ada Lovelace", negative=True)
    anew = ScopedFact(12, "Ada Lovelace died in", "Ada Lovelace")
    assert hit(build(retracted, anew), "Ada Lovelace died in") == 12


def test_validity_is_honoured_without_a_job():
    year = lambda n: datetime(n, 1, 1, tzinfo=UTC)  # noqa: E731
    old = ScopedFact(1, "The mayor of Ulm is", "Ulm", valid_to=year(2020))
    new = ScopedFact(2, "The mayor of Ulm is", "Ulm", valid_from=year(2020), valid_to=year(2025))
    gate = build(old, new)
    assert [hit(gate, "The mayor of Ulm is", at=year(n)) for n in (2010, 2020, 2024, 2025)] == [1, 2, 2, None]


def test_a_decision_depends_on_the_prompt_alone(gate):
    prompts = ["Where was Ada Lovelace born?", "Who wrote Hamlet?", SKY.prompt, "Ada Lovelace died in"]
    together = gate.route(prompts * 40)
    assert together == [gate.route([prompt])[0] for prompt in prompts] * 40


def test_explain_agrees_with_route_and_shows_the_evidence(gate):
    for prompt in ("Where was Ada Lovelace born?", BIRTH.prompt, "Who wrote Hamlet?"):
        explained = gate.explain(prompt, k=3)
        routed = gate.route([prompt])[0]
        assert (explained.fact, explained.score, explained.anchor) == (
            routed.fact,
            routed.score,
            routed.anchor,
        )
        assert len(explained.candidates) <= 3
        assert [c.score for c in explained.candidates] == sorted((c.score for c in explained.candidates), reverse=True)
    assert gate.explain("Where was Ada Lovelace born?").candidates[0].evidence.name == 1.0


def test_an_empty_gate_lets_everything_pass():
    assert hit(build(), "Ada Lovelace was born in") is None


def test_equal_facts_make_equal_files_and_load_as_they_were(tmp_path, gate):
    first, second = tmp_path / "a", tmp_path / "b"
    for directory in (first, second):
        directory.mkdir()
        build(*FACTS).save(directory)
    for name in ("anchors.safetensors", "anchors.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    prompts = ["Where was Ada Lovelace born?", "who was ada lovelace married to?", "Who wrote Hamlet?"]
    assert Gate.load(first, encoder=default_encoder()).route(prompts) == gate.route(prompts)


def test_what_is_worded_alike_is_stored_once(tmp_path):
    others = [ScopedFact(i, f"{name} was born in", name) for i, name in enumerate(("Alan Turing", "Emmy Noether"), 2)]
    build(BIRTH, *others).save(tmp_path)
    stored = load_file(tmp_path / "anchors.safetensors")
    assert (len(stored["vectors"]), stored["rows"].tolist()) == (2, [0, 1, 0, 0])


def test_another_encoder_is_refused_with_the_way_out(tmp_path, gate):
    gate.save(tmp_path)
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        Gate.load(tmp_path, encoder=LexicalEncoder(dim=64))


def test_damaged_files_are_refused(tmp_path, gate):
    gate.save(tmp_path)
    vectors, rows = np.zeros((1, default_encoder().dim), dtype=np.float16), np.zeros(len(gate), dtype=np.int32)
    for damaged in (
        {"vectors": np.full_like(vectors, np.nan), "rows": rows},
        {"vectors": vectors, "rows": rows + 1},
        {"vectors": vectors, "rows": rows[1:]},
    ):
        save_file(damaged, tmp_path / "anchors.safetensors")
        with pytest.raises(IntegrityError, match="finite"):
            Gate.load(tmp_path, encoder=default_encoder())
    (tmp_path / "anchors.json").write_text('{"format": 99}')
    with pytest.raises(IntegrityError, match="cannot be read"):
        Gate.load(tmp_path, encoder=default_encoder())


@given(st.lists(st.text(max_size=80), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_text_is_decided(gate, prompts):
    decisions = gate.route(prompts)
    assert len(decisions) == len(prompts)
    assert all(0.0 <= decision.score <= 1.0 and 0.0 <= decision.threshold <= 1.0 for decision in decisions)


@given(st.lists(st.text(min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=5, unique_by=fold))
@settings(max_examples=30, deadline=None)
def test_any_wording_is_a_hit_for_its_fact(wordings):
    assert [d.fact for d in build(*(ScopedFact(i, text) for i, text in enumerate(wordings))).route(wordings)] == [
        *range(len(wordings))
    ]
