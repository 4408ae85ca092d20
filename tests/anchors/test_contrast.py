"""Words by which wordings that look alike ask different things."""

import pytest

from lifelong.anchors.contrast import narrowed, opposed
from pretraining.encoder.contrasts import contrasts_of

NARROWER = [
    ("the president of [X] is", "the first president of [X] was"),
    ("who is the president of [X]?", "who is the vice president of [X]?"),
    ("the capital of [X] is", "what is the largest city of [X]?"),
    ("the name of [X] is", "the former name of [X] is"),
    ("the second city of [X] is", "the third city of [X] is"),
]
AS_WIDE = [
    ("the president of [X] is", "who leads [X] as president?"),
    ("[X] debuted on", "[X] first aired on"),
    ("the given name of [X]", "the first name of [X]"),
    ("the highest point of [X]", "the peak of [X]"),
    ("the first president of [X]", "who was [X]'s 1st president?"),
    ("the biggest city of [X]", "the largest city of [X]"),
]
OPPOSED = [
    ("when was [X] opened?", "when was [X] closed?"),
    ("where was [X] born?", "when was [X] born?"),
    ("who is [X]'s father?", "[X]'s mother is"),
    ("[X] was founded in", "[X] was dissolved in"),
]
NOT_OPPOSED = [
    ("when was [X] dissolved?", "in which year was [X] abolished?"),
    ("who is [X]'s father?", "who are [X]'s father and mother?"),
    ("[X] plays for", "which club does [X] play for?"),
]


@pytest.mark.parametrize(("one", "other"), NARROWER)
def test_a_word_that_narrows_on_one_side_only_is_seen_from_either(one, other):
    assert narrowed(one, other)
    assert narrowed(other, one)


@pytest.mark.parametrize(("one", "other"), AS_WIDE)
def test_the_same_in_other_words_is_not_narrower(one, other):
    assert not narrowed(one, other)
    assert not narrowed(other, one)


@pytest.mark.parametrize(("one", "other"), OPPOSED)
def test_opposites_are_seen_from_either_side(one, other):
    assert opposed(one, other)
    assert opposed(other, one)


@pytest.mark.parametrize(("one", "other"), NOT_OPPOSED)
def test_synonyms_and_a_text_that_says_both_oppose_nothing(one, other):
    assert not opposed(one, other)
    assert not opposed(other, one)


def test_made_contrasts_ask_something_else():
    narrower, opposite = contrasts_of("Who is the mother of Ada Lovelace?")
    assert narrowed("Who is the mother of Ada Lovelace?", narrower)
    assert opposite == "Who is the father of Ada Lovelace?"
    assert contrasts_of("Ada Lovelace plays") == []
