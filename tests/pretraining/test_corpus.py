"""What goes into the corpus, what stays out, and that both are the same every time."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pretraining import corpus, sources
from pretraining.exclusions import Exclusions, fold
from pretraining.settings import REPOSITORY, Settings, data_folder
from pretraining.sources import Triple, Wanted
from pretraining.wordings import HELD_OUT_RELATIONS, QUESTIONS, is_question, statement_prompt, wordings_of

DATA = data_folder()
needs_data = pytest.mark.skipif(
    not (DATA / "pararel-facts.jsonl").exists(), reason="no public data: set LIFELONG_DATA to its folder"
)
SMALL = Settings(facts_per_relation=5, triple_facts=40, note_subjects=200, book_characters=20_000)


@pytest.fixture(scope="module")
def exclusions() -> Exclusions:
    return Exclusions.from_data(DATA)


@pytest.fixture(scope="module")
def facts(exclusions: Exclusions) -> list[corpus.KnownFact]:
    return corpus.choose_facts(DATA, SMALL, exclusions)[0]


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """Return a data folder of a few lines in every format."""
    data = tmp_path / "data"
    (data / "text").mkdir(parents=True)
    write_lines(data / "pararel-patterns.jsonl", [{"relation": r, "patterns": []} for r in QUESTIONS])
    facts = [
        ("P19", "Ada", "London"),
        ("P19", "Bo", "Paris"),
        ("P27", "Cy", "Norway"),
        ("P190", "Bonn", "Tel Aviv"),
    ]
    write_lines(data / "pararel-facts.jsonl", [{"relation": r, "subject": s, "object": o} for r, s, o in facts])
    write_lines(data / "wikidata-triples.jsonl", [{"relation": "mother", "subject": "Dee", "object": "Eve"}])
    wanted = {"prompt": "Bo was born in", "subject": "Bo", "target_new": "Paris", "ground_truth": "Oslo"}
    probe = {**wanted, "rephrase_prompt": "Where was Ada born?", "locality_prompt": "So who is Cy?"}
    for name in ("counterfact-train.json", "knowedit-zsre-650.json", "wikibigedit-1500.json"):
        (data / name).write_text(json.dumps([probe]))
    (data / "zsre-1500.json").write_text(
        json.dumps([{"src": "x", "subject": "x", "alt": "y", "loc": "nq question: z"}])
    )
    write_lines(data / "halluedit-2300.jsonl", [{"prompt": "x", "subject": "x", "target": "y", "hops": []}])
    with gzip.open(data / "text" / "wikipedia-sentences.txt.gz", "wt") as stream:
        stream.write("Bo never saw Paris .\nRain fell on the hills .\n")
    with gzip.open(data / "text" / "books.txt.gz", "wt") as stream:
        stream.write("# A title\n\n" + "It was a long day. " * 10 + "\n")
    return data


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_tiny_corpus_holds_what_may_be_known_and_nothing_else(tiny_data: Path, tmp_path: Path) -> None:
    corpus.build(tiny_data, tmp_path / "work", Settings())
    known = {(fact.subject, fact.object): fact for fact in corpus.read_facts(tmp_path / "work")}
    # Bo and Paris is what an edit teaches; Bonn's relation is held out.
    assert set(known) == {("Ada", "London"), ("Cy", "Norway"), ("Dee", "Eve")}
    assert "Where was Ada born?" not in known["Ada", "London"].seen
    assert "What is the place of birth of Ada?" in known["Ada", "London"].seen
    text = corpus.read_text(tmp_path / "work")
    assert "Rain fell on the hills ." in text
    assert not any("Paris" in document or "title" in document for document in text)


def test_the_same_data_makes_the_same_corpus_in_another_process(tiny_data: Path, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from pretraining import corpus
from pretraining.settings import Settings
corpus.build(Path(sys.argv[1]), Path(sys.argv[2]), Settings())
"""
    for seed in ("1", "2"):
        # Sets iterate in another order under another hash seed; the corpus must not.
        subprocess.run(
            [sys.executable, "-c", script, str(tiny_data), str(tmp_path / seed)],
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    for file in (corpus.FACTS, corpus.TEXT, corpus.REPORT):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_exclusions_compare_text_and_count() -> None:
    exclusions = Exclusions([Wanted("Ada speaks", "Ada", "Dutch")], ["Where did Ada  Lovelace live?"])
    assert exclusions.refuses_fact(Triple("P103", "ADA", "dutch"))
    assert exclusions.refuses_fact(Triple("P103", "Dutch", "Ada"))
    assert not exclusions.refuses_fact(Triple("P103", "Ada", "English"))
    assert exclusions.refuses_prompt("ada speaks", "Dutch")
    assert not exclusions.refuses_prompt("Ada speaks", "English")
    assert exclusions.refuses_text("He asked: where did Ada Lovelace live? Nobody knew.")
    assert exclusions.refuses_text("That year Ada learned Dutch .")
    assert not exclusions.refuses_text("That year Ada learned French .")
    assert sum(exclusions.refused.values()) == 5


def test_a_pattern_becomes_a_prompt_only_where_the_object_ends_it() -> None:
    assert statement_prompt("the occupation of [X] is [Y].") == "The occupation of [X] is"
    assert statement_prompt("[X],  a type of [Y] .") == "[X], a type of"
    assert statement_prompt("[Y] is [X]'s mother tongue.") is None
    assert statement_prompt("[X] is a [Y] by training.") is None


@needs_data
def test_every_relation_keeps_a_statement_and_a_question_for_measuring() -> None:
    for relation, wordings in wordings_of(sources.pararel_patterns(DATA)).items():
        assert not set(wordings.seen) & set(wordings.held_out), relation
        for split in (wordings.seen, wordings.held_out):
            assert {is_question(wording) for wording in split} == {True, False}, relation


@needs_data
def test_no_known_fact_is_a_benchmark_target(facts: list[corpus.KnownFact]) -> None:
    wanted = {(fold(item.subject), fold(item.target)) for item in sources.benchmark_targets(DATA)}
    known = {(fold(fact.subject), fold(fact.object)) for fact in facts}
    assert len(known) > 150
    assert not wanted & known
    assert not wanted & {(there, here) for here, there in known}


@needs_data
def test_no_prompt_is_a_probe_or_has_two_answers(facts: list[corpus.KnownFact]) -> None:
    probes = {fold(probe) for probe in sources.benchmark_probes(DATA)}
    assert len(probes) > 20_000
    answers: dict[str, str] = {}
    for fact in facts:
        for prompt in (*fact.seen, *fact.held_out):
            assert fold(prompt) not in probes
            assert answers.setdefault(fold(prompt), fact.object) == fact.object
        assert not set(fact.seen) & set(fact.held_out)


@needs_data
def test_held_out_relations_are_not_known(facts: list[corpus.KnownFact]) -> None:
    assert not HELD_OUT_RELATIONS.keys() & {fact.relation for fact in facts}
