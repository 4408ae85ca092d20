"""The wordings that the encoder learns: each label written once, and opposites never in the same words."""

import random
import re

import pytest

from lifelong.anchors.text import MASK
from pretraining.encoder.corpus import NAME_FORMS, norm, written
from pretraining.encoder.dressing import AFTER, BEFORE, dressed

OPPOSITES = [
    ("father", "mother"),
    ("place of birth", "date of birth"),
    ("place of death", "date of death"),
    ("follows", "followed by"),
    ("replaces", "replaced by"),
    ("former name", "new name"),
    ("largest city", "smallest city"),
    ("highest point", "lowest point"),
    ("founded by", "owned by"),
    ("founded by", "chief executive officer"),
    ("host", "winner"),
    ("winner", "runner-up"),
    ("national team", "member of sports team"),
    ("official name", "official language"),
    ("start time", "end time"),
    ("capital", "former capital"),
    ("has cause", "has effect"),
    ("owner of", "owned by"),
    ("student", "student of"),
]


@pytest.fixture(scope="module")
def lines():
    return [(re.sub(r"( P\d+)+$", "", head), items) for head, items in written()]


def wordings_of(lines, label):
    return {
        norm(text)
        for head, items in lines
        if head == label
        for item in items
        for text in ([item] if MASK in item else [form.format(r=item) for form in NAME_FORMS])
    }


def test_every_item_is_one_wording_or_one_name(lines):
    for label, items in lines:
        assert items, label
        for item in items:
            assert item == item.strip() != "", label
            assert item.count(MASK) <= 1, f"{label}: {item}"
            assert not re.search(r"[|={}]", item), f"{label}: {item}"


def test_no_label_has_a_wording_twice(lines):
    for label, items in lines:
        assert len(items) == len(set(items)), f"{label}: {sorted(i for i in items if items.count(i) > 1)}"


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_opposites_share_no_wording(lines, one, other):
    assert wordings_of(lines, one), f"nothing is written for {one}"
    assert wordings_of(lines, other), f"nothing is written for {other}"
    assert not wordings_of(lines, one) & wordings_of(lines, other)


@pytest.mark.parametrize("text", ["Who leads [X]?", "[X] is led by", "Name the head of [X]."])
def test_dress_leaves_the_wording_whole(text):
    draw = random.Random(0)
    for _ in range(5 * len(BEFORE + AFTER)):
        worn = dressed(text, ["Otto Brahm"], draw)
        assert worn != text
        assert text.rstrip("?.") in worn
        assert worn.endswith("?") == text.endswith("?")
