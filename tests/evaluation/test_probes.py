"""Which probes count, and as what: decided on text, before any model is asked."""

from __future__ import annotations

from editlog.fact import Fact
from lifelong.evaluation.probes import collect, governing


def fact(subject: str, target: str = "Rome", **more) -> Fact:
    return Fact.model_validate({"prompt": f"The capital of {subject} is", "target": target, "subject": subject, **more})


def prompts(items):
    return [item.prompt for item in items]


def test_the_latest_record_of_a_key_is_scored_and_a_repeat_does_not_come_back():
    first, second = fact("Atlantis", "Rome"), fact("Atlantis", "Oslo")
    assert governing([first, fact("Mu"), second]) == (second, fact("Mu"))
    assert governing([first, second, first]) == (second,)
    assert collect([first, second, first]).records == 3


def test_a_probe_expects_its_own_answer_or_else_its_facts_target():
    probes = {"generality": ["Atlantis has its capital in", {"prompt": "Atlantis is ruled from", "answer": "it"}]}
    collected = collect([fact("Atlantis", probes=probes)])
    assert [(item.prompt, item.answer) for item in collected.generality] == [
        ("Atlantis has its capital in", "Rome"),
        ("Atlantis is ruled from", "it"),
    ]


def test_the_kind_of_a_locality_probe_is_told_by_its_text():
    asked = ["Atlantis was painted by", "The capital of Norway is", "who sang the song of the sea"]
    collected = collect([fact("Atlantis", probes={"locality": asked})])
    assert {kind: prompts(items) for kind, items in collected.locality.items()} == {
        "same_subject": ["Atlantis was painted by"],
        "same_relation": ["The capital of Norway is"],
        "unrelated": ["who sang the song of the sea"],
    }
    assert collected.governed.total() == 0


def test_a_probe_that_another_edit_governs_is_counted_apart():
    probes = {
        "generality": ["the capital  of MU is"],
        "locality": ["The capital of Mu is", "Mu has its capital in"],
        "portability": [{"prompt": "The capital of Mu is", "answer": "Rome"}],
    }
    collected = collect([fact("Atlantis", probes=probes), fact("Mu")])
    assert collected.governed == {"generality": 1, "locality": 2, "portability": 1}
    assert collected.generality == collected.portability == []
    assert not any(collected.locality.values())


def test_an_edit_served_beside_the_stream_governs_too_but_is_not_scored():
    probes = {"locality": ["The capital of Mu is", "The capital of Norway is"]}
    collected = collect([fact("Atlantis", probes=probes)], others=[fact("Mu"), fact("Atlantis")])
    assert (len(collected.facts), collected.governed) == (1, {"locality": 1})
    assert prompts(collected.locality["same_relation"]) == ["The capital of Norway is"]


def test_a_locality_probe_that_asks_the_edit_itself_is_mislabelled():
    probes = {"locality": ["Is the capital of Atlantis", "Atlantis was painted by"], "generality": ["x"]}
    collected = collect([fact("Atlantis", probes=probes)])
    assert collected.governed == {"locality": 1}
    assert prompts(collected.locality["same_subject"]) == ["Atlantis was painted by"]


def test_only_scored_facts_are_asked_but_the_others_still_govern():
    probes = {"locality": ["Mu was painted by", "Atlantis was painted by"]}
    records = [fact("Atlantis", probes=probes), fact("Mu", probes=probes), fact("Mu", "Oslo")]
    collected = collect(records, scored=lambda one: one.subject == "Atlantis")
    assert (collected.records, collected.superseded, len(collected.facts)) == (3, 1, 1)
    assert collected.governed == {"locality": 1}
    assert prompts(collected.locality["same_subject"]) == ["Atlantis was painted by"]


def test_a_probe_that_was_learnt_from_measures_nothing_and_is_dropped():
    probes = {
        "generality": ["the capital of atlantis is", "Atlantis: capital", "Atlantis is ruled from"],
        "locality": ["The capital of Atlantis is"],
        "portability": [{"prompt": "Atlantis: capital", "answer": "Rome"}],
    }
    collected = collect([fact("Atlantis", rephrases=["Atlantis: capital"], probes=probes)])
    assert prompts(collected.generality) == ["Atlantis is ruled from"]
    assert collected.dropped == {"generality": 2, "locality": 1, "portability": 1}


def test_a_fact_that_is_corrected_again_in_other_words_leaves_its_rephrases_to_the_later_record():
    def asked(prompt, target):
        probes = {"generality": [f"{prompt[:-1]}, please?"]}
        return Fact.model_validate({"prompt": prompt, "target": target, "subject": "Mu", "probes": probes})

    first, again = asked("Who built Mu?", "Ada"), asked("By whom was Mu built?", "Bob")
    other, echo = asked("When was Mu built?", "1870"), asked("Which person built Mu?", "Bob")
    truths = {first.digest: ("Eve",), again.digest: ("EVE", "Adam"), other.digest: ("1860",), echo.digest: ("Eve",)}
    found = collect([first, other, again, echo], truths=truths)
    assert prompts(found.generality) == [f"{one.prompt[:-1]}, please?" for one in (other, again, echo)]
    assert found.governed["generality"] == 1
    assert len(collect([first, other, again]).generality) == 3, "nobody says what was true"


def test_a_locality_probe_that_asks_what_an_edit_of_its_subject_changed_is_governed():
    """By its answer, which is the true one or the edited one, of its own record or of another about the subject."""
    asked = [("Mu's maker is", "Eve"), ("Mu was made by", "Ada"), ("Mu is as old as", "1860"), ("Mu lies in", "Asia")]
    probes = {"locality": [{"prompt": prompt, "answer": answer} for prompt, answer in asked]}
    first, other = (
        Fact.model_validate({"prompt": prompt, "target": target, "subject": "Mu", "probes": held})
        for prompt, target, held in (("Who built Mu?", "Ada", probes), ("When was Mu built?", "1870", {}))
    )
    found = collect([first, other], truths={first.digest: ("Eve",), other.digest: ("1860",)})
    assert prompts(found.locality["same_subject"]) == ["Mu lies in"]
    assert found.governed["locality"] == 3
