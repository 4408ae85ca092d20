"""Finding out what a prompt is about: names, names inside names, guesses, and the text without them."""

import numpy as np
import pytest

from lifelong.anchors.subject import (
    NameIndex,
    coverage,
    goes_on,
    guess_name,
    guess_spans,
    likeness,
    mask,
    name_of,
    name_vectors,
    subject_name,
)
from lifelong.anchors.text import sentence_start, words


def found(text, *names):
    return [" ".join(span.name) for span in NameIndex(name_of(n) for n in names).find(words(text))]


def masked(text, *names):
    return mask(text, NameIndex(name_of(n) for n in names).find(words(text)))


def test_a_name_is_found_whatever_its_case_accents_and_punctuation():
    assert found("the mother of bushra al assad's son", "Bushra al-Assad") == ["bushra al assad"]
    assert found("Kobe is a twin city of", "Kōbe") == ["kobe"]
    assert found("東京の首都は", "東京") == ["東 京"]


def test_a_plural_finds_the_singular_but_yields_to_a_name_of_its_own():
    assert found("Who treats infections of the ear?", "infection of the ear") == ["infection of the ear"]
    assert found("the Giants of Rhodes", "Giant", "Giants") == ["giants"]


def test_a_name_taken_apart_is_covered_by_its_words():
    name = name_of("22 Maunsheaugh Road located in Fenwick")
    assert coverage(name, {"fenwick", "22", "maunsheaugh", "road", "where"}) > 0.7
    assert coverage(name, {"fenwick", "23", "maunsheaugh", "road", "located"}) == 0.0
    assert coverage(name_of("Fenwick"), {"fenwick"}) == 0.0
    assert (
        coverage(name_of("The Spanish Barn located within Torre Abbey"), {"spanish", "barn", "torre", "abbey"}) == 1.0
    )


def test_a_name_is_whole_words():
    assert found("Romania borders", "Roman") == []


def test_a_name_inside_a_longer_known_name_does_not_count():
    assert found("Who made the Toyota Sequoia?", "Toyota", "Toyota Sequoia") == ["toyota sequoia"]
    assert found("Toyota made the Toyota Sequoia", "Toyota", "Toyota Sequoia") == ["toyota", "toyota sequoia"]


def test_a_text_that_ends_inside_a_name_is_no_mention():
    assert found("Who ruled New", "New York", "New") == ["new"]


@pytest.mark.parametrize(
    ("text", "longer"),
    [
        ("Toyota Yaris is made by", True),
        ("Where is the Toyota plant?", False),
        ("Does Toyota make boats?", False),
        ("the North-Toyota line", True),
    ],
)
def test_a_name_that_goes_on_is_noticed(text, longer):
    text_words = words(text)
    (span,) = NameIndex([("toyota",)]).find(text_words)
    assert goes_on(text, text_words, span) is longer


def test_names_are_guessed_from_quotes_and_capitals():
    def guesses(text):
        return [" ".join(span.name) for span in guess_spans(text, words(text))]

    assert guesses("Who wrote 'On était beau'?") == ["on etait beau"]
    assert guesses("When was the University of the Arts London founded?") == ["university of the arts london"]
    assert guesses("what colour is the sky") == []


def test_a_fact_without_a_subject_is_about_the_name_its_wordings_share():
    assert guess_name(["In France, Paris is the", "Paris is home to", "the mayor of Paris is"]) == ("paris",)


def test_a_junk_subject_field_gives_way_to_the_guess():
    assert subject_name("Q90", ["The mayor of Paris is"]) == ("paris",)
    assert subject_name("Paris", ["The mayor of Paris is"]) == ("paris",)
    assert subject_name("Q90", ["who is the mayor"]) == ("q90",)
    assert subject_name("From", ["From which country does golden originate?"]) == ()
    assert subject_name("It", ["Who directed It?"]) == ("it",)


def test_masking_keeps_the_sentence_that_names_the_subject():
    assert masked("It rained. They left. Bola Sete is represented by", "Bola Sete") == "[X] is represented by"
    assert (
        masked("Which position does Bo Li play? They play as", "Bo Li") == "Which position does [X] play? They play as"
    )
    assert masked("Who employs Mr. Li Bo?", "Li Bo") == "Who employs Mr. [X]?"


def test_what_is_set_aside_is_not_asked():
    assert masked("What is Bo Li known for besides her job?", "Bo Li") == "What is [X] known for ?"


def test_masking_never_leaves_a_text_that_says_nothing():
    assert masked("He painted it. Bola Sete", "Bola Sete") == "He painted it. [X]"


def test_sentences_begin_after_stops_and_lines_but_not_after_abbreviations():
    assert sentence_start("It rained. Two", 12) == 11
    assert sentence_start("One\nTwo", 5) == 4
    assert sentence_start("St. Louis", 5) == 0


def test_like_names_have_like_signatures():
    names = [name_of(n) for n in ("Ardrossan Town railway station", "Ardrosan Town railway station", "Lake Baikal")]
    vectors = name_vectors(names)
    assert vectors[0] @ vectors[1] > 0.8
    assert vectors[0] @ vectors[2] < 0.4
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert not name_vectors([()]).any()


def test_names_with_other_numbers_are_not_alike():
    assert likeness(name_of("Apollo 11"), name_of("Apollo 11")) == 1.0
    assert likeness(name_of("Apollo 11"), name_of("Apollo 12")) == 0.0
    assert likeness(name_of("Clement X"), name_of("Clement XIII")) == 0.0
    assert likeness(name_of("Xi Jinping"), name_of("Xi Jin-ping")) > 0.5
