"""HalluEditBench in both its shapes, the CSV that its authors publish and JSON lines, gives the same facts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from editlog.fact import Fact
from editlog.formats import format_of, read_facts

# The first line of data/questions/hallucination_final/*/*.csv of github.com/llm-editing/HalluEditBench, word for word;
# some of its files lack `label`, and the two behind `question` end in the name of the model that was asked.
HEADER = (
    "topic,subject,relation,object,label,question,output_mistral_7b_instruct_v0.3,eval_mistral_7b_instruct_v0.3,"
    "multiple_choices,paraphrased_question,multiple_choice_with_letters,multiple_choice_labels,yes_question,no_question,"
    "locality_question,reversed_relation_question,question_2hop,answer_2hop,question_3hop,answer_3hop,question_4hop,"
    "answer_4hop,question_5hop,answer_5hop,question_6hop,answer_6hop"
)

AS_JSON: dict[str, Any] = {
    "topic": "human_writer", "subject": "Ada Finch", "relation": "occupation", "target": "miller",
    "prompt": "What is the occupation of Ada Finch?", "rephrase": "What does Ada Finch do for a living?",
    "locality": "Where was Ada Finch born?", "reversed": "Who is a miller?",
    "multiple_choice": "A. painter  B. miller", "mc_label": "B",
    "yes_question": "Is Ada Finch a miller?", "no_question": "Is Ada Finch a painter?",
    "hops": [{"n": n, "q": f"What lies {n} steps behind the occupation of Ada Finch?", "a": f"answer {n}"}
             for n in range(2, 7)],
    "models": ["mistral_7b_instruct_v0.3"],
}  # fmt: skip

CELLS = {
    "topic": "human_writer", "subject": "Ada Finch", "relation": "occupation", "object": "miller", "label": "miller",
    "question": AS_JSON["prompt"], "paraphrased_question": AS_JSON["rephrase"],
    "output_mistral_7b_instruct_v0.3": "painter", "eval_mistral_7b_instruct_v0.3": "0.0",
    "multiple_choices": "['miller', 'painter']",  # Python's way of writing a list, which is no JSON
    "multiple_choice_with_letters": AS_JSON["multiple_choice"], "multiple_choice_labels": "B",
    "yes_question": AS_JSON["yes_question"], "no_question": AS_JSON["no_question"],
    "locality_question": AS_JSON["locality"], "reversed_relation_question": AS_JSON["reversed"],
    **{f"question_{hop['n']}hop": hop["q"] for hop in AS_JSON["hops"]},
    **{f"answer_{hop['n']}hop": hop["a"] for hop in AS_JSON["hops"]},
}  # fmt: skip


def fact_in(path: Path) -> Fact:
    [fact] = read_facts(path)
    assert isinstance(fact, Fact)
    return fact


def test_csv_and_json_are_the_same_fact(tmp_path: Path) -> None:
    columns = HEADER.split(",")
    assert set(columns) == CELLS.keys()
    with (tmp_path / "human_writer.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, [CELLS[column] for column in columns]])
    (tmp_path / "halluedit.jsonl").write_text(json.dumps(AS_JSON) + "\n")
    assert (format_of(CELLS).name, format_of(AS_JSON).name) == ("halluedit-csv", "halluedit")
    from_csv, from_json = fact_in(tmp_path / "human_writer.csv"), fact_in(tmp_path / "halluedit.jsonl")
    assert from_csv.digest == from_json.digest
    assert from_csv.probes == from_json.probes
    assert from_csv.probes is not None
    assert [probe.answer for probe in from_csv.probes.portability] == [f"answer {n}" for n in range(2, 7)]


def test_nothing_that_only_tests_the_model_is_learned_from(tmp_path: Path) -> None:
    (tmp_path / "halluedit.jsonl").write_text(json.dumps(AS_JSON) + "\n")
    fact = fact_in(tmp_path / "halluedit.jsonl")
    assert (fact.prompt, fact.target, fact.subject) == (AS_JSON["prompt"], "miller", "Ada Finch")
    assert (fact.rephrases, fact.near_misses) == ((), ())
