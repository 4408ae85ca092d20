"""Notes: what is measured is what training never showed, and what is learned is what a note should do."""

import random

from pretraining import notes
from pretraining.corpus import PARAREL, KnownFact
from pretraining.wordings.forms import NOTE_FORMS_HELD_OUT


def fact(relation: str, number: int, verb: str, told: tuple[str, ...]) -> KnownFact:
    subject = f"Person{number:03}"
    seen = (f"{subject} {verb}", f"What is it that {subject} {verb}?")
    return KnownFact(PARAREL, relation, subject, f"truth {number}", seen, (f"It is said {subject} {verb}",), told)


BORN = [fact("P19", number, "was born in", ("Rome", "Bern")) for number in range(120)]
PLAYS = [fact("P1303", number, "plays the", ("viola", "harp")) for number in range(120)]
FACTS = [*BORN, *PLAYS]


def held_out_subjects() -> set[str]:
    return {each.subject for each in FACTS if notes.is_held_out(each.subject)}


def test_no_training_note_speaks_of_a_held_out_subject_or_in_a_held_out_wording() -> None:
    drawer, rng = notes.Notes(FACTS, (), irrelevant_share=0.5, pair_share=0.5), random.Random(0)
    assert held_out_subjects()
    for _ in range(500):
        context, prompt, _ = drawer.draw(rng)
        assert not any(subject in context + prompt for subject in held_out_subjects())
        assert "It is said" not in context + prompt
        assert not any(context.startswith(form.partition("{")[0]) for form in NOTE_FORMS_HELD_OUT)


def test_a_note_of_another_subject_or_relation_leaves_the_answer() -> None:
    drawer, rng = notes.Notes(FACTS, (), irrelevant_share=1.0, pair_share=0.5), random.Random(0)
    truths = {each.subject: each.object for each in FACTS}
    left = [noted for noted in (drawer.draw(rng) for _ in range(300)) if noted.answer.startswith("truth")]
    assert len(left) > 150
    for noted in left:
        subject = next(subject for subject in truths if subject in noted.prompt)
        assert noted.answer == truths[subject]


def test_obedience_is_measured_on_held_out_subjects_wordings_and_forms() -> None:
    questions = notes.held_out_questions(FACTS, seed=1)
    assert set(questions) == {"seen", "held_out", *notes.CHAT, *notes.IRRELEVANT}
    for name, asked in questions.items():
        assert {subject for subject in held_out_subjects() if any(subject in each.prompt for each in asked)}
        for noted in asked:
            assert any(subject in noted.prompt for subject in held_out_subjects())
            if name != "seen":
                assert "It is said" in noted.context
                assert "It is said" in noted.prompt
                assert noted.context.startswith(NOTE_FORMS_HELD_OUT[0].partition("{")[0])
            assert (noted.answer in noted.context) == (name not in notes.IRRELEVANT)
    assert questions == notes.held_out_questions(FACTS, seed=1)
