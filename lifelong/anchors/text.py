"""Words of a text and where they stand: the form in which names and wordings are compared.

A word is a run of letters and digits, folded (NFKC, case, accents); scripts written without spaces count each
character as a word. Punctuation only separates, so "al-Assad's" is al, assad, s.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

MASK = "[X]"
"""Stands where the subject stood (ParaRel's convention)."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_SENTENCE_END = re.compile(r"""[.!?]["')\]]*\s+|[\n;]+\s*""")
_ABBREVIATION_LETTERS = 3  # "Mr.", "St.", "J." end no sentence

FUNCTION_WORDS = frozenset(
    """
    a an the of in on at to for from by with and or is are was were be been being it its this that these those what
    which who whom whose when where why how do does did has have had will would can could should may might as s t
    there their they he she his her him i you we me my your our if not no than then also called name named
    """.split()  # noqa: SIM905
)
"""Words that say little of a relation and begin no name."""


class Word(NamedTuple):
    """A folded word and the characters [start, end) of the text it was read from."""

    text: str
    start: int
    end: int


@lru_cache(maxsize=1 << 16)
def fold_word(word: str) -> str:
    """NFKC, case folded, accents dropped."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).casefold())
    return "".join(c for c in folded if not unicodedata.combining(c)) or word


def words(text: str) -> list[Word]:
    """The words of `text` in order."""
    return [Word(fold_word(found.group()), found.start(), found.end()) for found in _WORD.finditer(text)]


def word_set(text: str) -> frozenset[str]:
    """The different folded words of a text."""
    return frozenset(word.text for word in words(text))


def content_words(text: str) -> frozenset[str]:
    """Folded words of a masked text that carry its meaning, the mask left out."""
    return word_set(text.replace(MASK, " ")) - FUNCTION_WORDS


def is_capitalised(text: str, word: Word) -> bool:
    """Whether the word begins with an upper-case letter or a digit."""
    first = text[word.start]
    return first.isupper() or first.isdigit()


def sentence_start(text: str, position: int) -> int:
    """Where the sentence that holds `position` begins."""
    start = 0
    for found in _SENTENCE_END.finditer(text, 0, position):
        before = text[start : found.start()].rsplit(maxsplit=1)
        last = before[-1] if before else ""
        short = len(last) <= _ABBREVIATION_LETTERS and last[:1].isupper()
        if text[found.start()] == "." and short:
            continue
        start = found.end()
    return start
