"""Every public format becomes the same thing, a fact with probes; what cannot be read is a reject."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editlog.fact import Fact
from editlog.formats import FORMATS, format_of, read_facts, to_fact
from editlog.rejects import BadRecordError, Code, Reject

OWN = {
    "prompt": "The capital of Atlantis is",
    "target": "Poseidonis",
    "subject": "Atlantis",
    "relation": "capital",
    "rephrases": ["Atlantis has its capital in"],
    "near_misses": ["The capital of Mu is", {"prompt": "Atlantis lies in", "answer": "the sea"}],
    "probes": {"generality": ["What is the capital of Atlantis?"]},
    "source": "atlas",
    "author": "ada",
    "valid_from": "2026-01-01T00:00:00Z",
    "id": "a1",
}
COUNTERFACT = {
    "case_id": 7,
    "prompt": "The mother tongue of Ann is",
    "target_new": "English",
    "subject": "Ann",
    "ground_truth": "French",
    "rephrase_prompt": "Ann spoke the language",
    "locality_prompt": "The mother tongue of Bob is",
    "locality_ground_truth": "Dutch",
}
ZSRE = {
    "subject": "Ann",
    "src": "Who was Ann's mother?",
    "pred": "Eve",
    "rephrase": "Which woman is the mother of Ann?",
    "alt": "Mary",
    "answers": ["Eve"],
    "loc": "nq question: where do the sharks play",
    "loc_ans": "SAP Center",
    "portability": {
        "Recalled Relation": "(Mary, spouse, Joe)",
        "New Question": "Who is ...?",
        "New Answer": "Joe",
    },
    "cond": "Eve >> Mary || Who was Ann's mother?",
}
KNOWEDIT = {
    "subject": "The Garden",
    "prompt": "Who is The Garden by?",
    "target_new": "Dali",
    "ground_truth": ["Hugo"],
    "rephrase_prompt": "Who made The Garden?",
    "locality": {"Relation_Specificity": [{"prompt": "The Garden hangs in", "ground_truth": [["Turku", "Åbo"]]}]},
    "portability": {
        "Reasoning": [{"prompt": "Which movement is the maker of The Garden of?", "ground_truth": "Surrealism"}],
        "Subject_Aliasing": [{"prompt": "Who is Garten by?", "ground_truth": ["Dali"]}, {"prompt": " "}],
    },
}
WIKIBIGEDIT = {
    "prompt": "What is Herekli?",
    "target_new": "mahalle",
    "subject": "Herekli",
    "rephrase_prompt": "What is Herekli classified as?",
    "locality_prompt": "What is Hermel?",
    "locality_ground_truth": "town",
}
WIKIBIGEDIT_ORIGINAL = {
    "tag": "new",
    "subject": "Herekli",
    "update": "What is Herekli?",
    "ans": "mahalle",
    "rephrase": "What is Herekli classified as?",
    "personas": "Arr, what be Herekli?",
    "loc": "What is Hermel?",
    "loc_ans": "town",
    "mhop": None,
    "mhop_ans": None,
}
HALLUEDIT = {
    "topic": "art",
    "subject": "The Fountain",
    "relation": "creator",
    "target": "Bartholdi",
    "prompt": "Who is the creator of The Fountain?",
    "rephrase": "Who designed The Fountain?",
    "locality": "What is a famous work by Bartholdi?",
    "reversed": "Who was created by The Fountain?",
    "hops": [{"n": 2, "q": "What nationality is the creator of The Fountain?", "a": "French"}],
}
HALLUEDIT_CSV = {
    "topic": "art",
    "subject": "The Fountain",
    "relation": "creator",
    "object": "Bartholdi",
    "question": "Who is the creator of The Fountain?",
    "paraphrased_question": "Who designed The Fountain?",
    "locality_question": "What is a famous work by Bartholdi?",
    "question_2hop": "What nationality is the creator of The Fountain?",
    "answer_2hop": "French",
}
ROME = {
    "case_id": 0,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1860"},
        "target_true": {"str": "French", "id": "Q150"},
        "subject": "Ann",
    },
    "paraphrase_prompts": ["Ann spoke the language", "Ann, a native"],
    "neighborhood_prompts": ["The mother tongue of Bob is"],
    "attribute_prompts": ["The mother tongue of Joe is"],
}
WIKIBIO = {
    "concept": "Ann",
    "text": "Here is a biography of Ann:",
    "labels": "She was born.",
    "locality": {"Relation_Specificity": [{"prompt": "Ann's mother is", "ground_truth": ["Eve"]}]},
}
EVERY_FORMAT = [
    OWN, COUNTERFACT, ZSRE, KNOWEDIT, WIKIBIGEDIT, WIKIBIGEDIT_ORIGINAL, HALLUEDIT, HALLUEDIT_CSV, ROME, WIKIBIO
]  # fmt: skip


def read(*records, **options):
    data = "\n".join(json.dumps(record) for record in records)
    return list(read_facts(io.BytesIO(data.encode()), **options))


def probes(fact):
    return {kind: [(p["prompt"], p.get("answer")) for p in found] for kind, found in fact.record()["probes"].items()}


def test_our_own_record_comes_back_as_it_went_in():
    [fact] = read(OWN)
    assert fact == Fact.model_validate(OWN)
    assert read(fact.record()) == [fact]


def test_counterfact():
    [fact] = read(COUNTERFACT)
    assert (fact.prompt, fact.target, fact.subject) == ("The mother tongue of Ann is", "English", "Ann")
    assert probes(fact) == {
        "generality": [("Ann spoke the language", None)],
        "locality": [("The mother tongue of Bob is", "Dutch")],
    }


def test_zsre_loses_the_prefix_that_gives_its_locality_away():
    [fact] = read(ZSRE)
    assert (fact.prompt, fact.target) == ("Who was Ann's mother?", "Mary")
    assert probes(fact) == {
        "generality": [("Which woman is the mother of Ann?", None)],
        "locality": [("where do the sharks play", "SAP Center")],
        "portability": [("Who is ...?", "Joe")],
    }


def test_knowedit_nests_its_probes():
    [fact] = read(KNOWEDIT)
    assert probes(fact) == {
        "generality": [("Who made The Garden?", None)],
        "locality": [("The Garden hangs in", "Turku")],
        "portability": [
            ("Which movement is the maker of The Garden of?", "Surrealism"),
            ("Who is Garten by?", "Dali"),
        ],
    }


def test_wikibigedit_reads_the_same_in_both_of_its_forms():
    edited, original = read(WIKIBIGEDIT, WIKIBIGEDIT_ORIGINAL)
    assert edited.digest == original.digest
    assert edited.probes.locality == original.probes.locality
    assert [p.prompt for p in original.probes.generality] == [
        "What is Herekli classified as?",
        "Arr, what be Herekli?",
    ]


def test_halluedit_is_not_mistaken_for_our_own_record():
    [fact] = read(HALLUEDIT)
    assert fact.key == "sr\x1fthe fountain\x1fcreator"
    assert probes(fact) == {
        "generality": [("Who designed The Fountain?", None)],
        "locality": [("What is a famous work by Bartholdi?", None)],
        "portability": [("What nationality is the creator of The Fountain?", "French")],
    }


def test_rome_fills_the_subject_in_and_keeps_the_relation():
    [fact] = read(ROME)
    assert (fact.prompt, fact.target, fact.relation) == ("The mother tongue of Ann is", "English", "P103")
    assert probes(fact) == {
        "generality": [("Ann spoke the language", None), ("Ann, a native", None)],
        "locality": [("The mother tongue of Bob is", "French")],
    }


def test_no_benchmark_field_is_ever_something_to_learn_from():
    for fact in read(*EVERY_FORMAT[1:]):
        assert fact.rephrases == ()
        assert fact.near_misses == ()
        assert fact.source is None


def test_every_format_is_told_by_its_keys():
    assert {format_of(record).name for record in EVERY_FORMAT} == {known.name for known in FORMATS}


def test_defaults_go_only_where_nothing_is_said():
    own, other = read(OWN, COUNTERFACT, default_source="nightly", default_author="bob")
    assert (own.source, own.author) == ("atlas", "ada")
    assert (other.source, other.author) == ("nightly", "bob")


def test_limit_takes_the_first_records_good_or_bad():
    first, second = read(OWN, {"nonsense": 1}, COUNTERFACT, limit=2)
    assert isinstance(first, Fact)
    assert isinstance(second, Reject)


@pytest.mark.parametrize(
    ("record", "code", "reason"),
    [
        ({"colour": "red"}, Code.UNKNOWN_FORMAT, "no prompt and no target"),
        ({"prompt": "p"}, Code.MISSING_FIELD, "target is missing"),
        ({"src": "p"}, Code.MISSING_FIELD, "alt is missing (read as a record of format zsre)"),
        ({"prompt": "p", "target_new": None}, Code.MISSING_FIELD, "target_new is missing"),
        ({"prompt": "p", "target_new": 7}, Code.BAD_FIELD, "target_new is not a string"),
        ({"src": " ", "alt": "x"}, Code.BAD_FIELD, "src is empty"),
        ({"prompt": "p", "target": "t", "rephrase": "q"}, Code.UNKNOWN_FIELD, "'rephrase' is not a field"),
        (
            {"prompt": "p", "target": "t", "near_misses": [{"promt": "q"}]},
            Code.MISSING_FIELD,
            "near_misses.0.prompt",
        ),
        ({"prompt": "p", "target": "t", "probes": {"loc": []}}, Code.UNKNOWN_FIELD, "probes.loc"),
        ({"prompt": "p", "target": ""}, Code.BAD_FIELD, "target: is empty"),
        ({"prompt": "p" * 9000, "target": "t"}, Code.BAD_FIELD, "prompt: String should have at most 8192"),
        ({"prompt": "p", "target": "a\rb"}, Code.BAD_FIELD, "target: holds a control character"),
        (
            {
                "prompt": "p",
                "target": "t",
                "valid_from": "2026-01-01T00:00:00Z",
                "valid_to": "2025-01-01T00:00:00Z",
            },
            Code.BAD_FIELD,
            "valid_to must be later",
        ),
        ({"prompt": "p", "target_new": "t", "locality": {"x": 5}}, Code.BAD_FIELD, "locality holds a int"),
        ({"requested_rewrite": [{}]}, Code.BAD_FIELD, "requested_rewrite is not an object"),
        (
            {"requested_rewrite": {"subject": "s", "prompt": "{}"}},
            Code.MISSING_FIELD,
            "target_new is missing",
        ),
    ],
)
def test_what_cannot_be_a_fact_is_rejected_with_a_reason_that_names_the_field(record, code, reason):
    with pytest.raises(BadRecordError) as caught:
        to_fact(record)
    assert caught.value.code == code
    assert reason in caught.value.reason
    [reject] = read(record)
    assert (reject.line, reject.code, reject.reason) == (1, code, caught.value.reason)


def test_at_most_64_probes_of_a_kind_are_kept():
    [fact] = read({**KNOWEDIT, "locality": {"x": [{"prompt": f"p{i}"} for i in range(100)]}})
    assert len(fact.probes.locality) == 64


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(EVERY_FORMAT), st.randoms(use_true_random=False), st.booleans())
def test_mutated_lines_are_facts_or_rejects_and_never_crash(record, rng: random.Random, as_array: bool):
    mutated = bytearray(json.dumps(record, ensure_ascii=rng.random() < 0.5).encode())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(mutated))
        splice = rng.choice([b'"', b"{", b"[", b"]", b"}", b",", b"\\", b"\\u0000", b"\xff", b"\xcc\x81", b"null", b""])
        mutated[at : at + rng.randint(0, 8)] = splice
    whole = json.dumps(OWN).encode()
    data = b"[" + whole + b"," + mutated + b"]" if as_array else whole + b"\n" + mutated + b"\n" + whole
    items = list(read_facts(io.BytesIO(data)))
    assert items[0] == Fact.model_validate(OWN)
    assert all(isinstance(item, Fact | Reject) for item in items)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_facts_or_rejects(data):
    assert all(isinstance(item, Fact | Reject) for item in read_facts(io.BytesIO(data)))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(EVERY_FORMAT).flatmap(
        lambda record: st.fixed_dictionaries(
            {
                key: st.just(value) | st.none() | st.text(max_size=5) | st.integers() | st.lists(st.none() | st.text())
                for key, value in record.items()
            }
        )
    )
)
def test_fields_of_any_type_are_facts_or_rejects(record):
    [item] = read(record)
    assert isinstance(item, Fact | Reject)


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("counterfact-train.json", 10_000),
        ("zsre-1500.json", 1_500),
        ("knowedit-zsre-650.json", 650),
        ("wikibigedit-1500.json", 1_500),
        ("halluedit-2300.jsonl", 2_300),
    ],
)
def test_the_public_files_are_read_whole(name, records):
    here = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("LIFELONG_DATA", here)) / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set LIFELONG_DATA to the folder with the benchmark files")
    items = list(read_facts(path))
    assert [item for item in items if isinstance(item, Reject)] == []
    assert len(items) == records
    assert all(fact.subject and fact.probes.generality and fact.probes.locality for fact in items)
