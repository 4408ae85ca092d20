"""Subject evidence: which names a text contains, which of them it is about, and the text with the name
masked.

A name is its folded words, so case, accents, punctuation and possessives do not matter; a name inside a
longer known name does not count. What no fact names is guessed by rule: quoted or capitalised spans.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifelong.anchors.text import FUNCTION_WORDS, MASK, Word, is_capitalised, sentence_start, words

NAME_DIM = 64
MAX_NAME_WORDS = 24

_QUOTED = re.compile(
    r"""["\u201c\u201e\u00ab]([^"\u201c\u201d\u00ab\u00bb]+)["\u201d\u00bb]|(?<!\w)['\u2018]([^'\u2018\u2019]+)['\u2019](?!\w)"""
)
_SET_ASIDE = re.compile(
    r"\b(?:besides|other than|apart from|aside from|excluding|except for|not related to)\b[^.!?]*", re.I
)
_JOINTS = frozenset(
    """
    of the de la le du des von van der den di da do dos del al el bin ibn and in on for at to y e
    """.split()  # noqa: SIM905
)
_MAX_JOINTS = 2
_WHERE = frozenset("located situated found within inside near beside".split())  # noqa: SIM905
_ROMAN = re.compile(r"(?=.)x{0,3}(?:ix|iv|v?i{0,3})")
_SHORTEST_PLURAL = 3

Name = tuple[str, ...]


class Span(NamedTuple):
    """A name found in a text: words [first, last), and their characters [start, end)."""

    name: Name
    first: int
    last: int
    start: int
    end: int


def name_of(text: str) -> Name:
    """The form in which names are compared."""
    return tuple(word.text for word in words(text)[:MAX_NAME_WORDS])


class NameIndex:
    """Finds known names in a text: one dictionary look-up for each run of words that could begin a name.

    A plural finds the singular, and the other way round, unless the text's own form is a known name too.
    """

    def __init__(self, names: Iterable[Name]) -> None:
        self._lengths: dict[str, set[int]] = defaultdict(set)
        self._names: dict[Name, list[Name]] = defaultdict(list)
        for name in dict.fromkeys(names):
            if name:
                stems = tuple(_singular(word) for word in name)
                self._names[stems].append(name)
                self._lengths[stems[0]].add(len(name))

    def find(self, found: Sequence[Word]) -> list[Span]:
        """Known names among the words of a text, in order, without those that lie inside a longer one."""
        stems = [_singular(word.text) for word in found]
        spans = []
        for first, stem in enumerate(stems):
            for length in self._lengths.get(stem, ()):
                last = first + length
                if last <= len(found) and (known := self._names.get(tuple(stems[first:last]))):
                    written = tuple(word.text for word in found[first:last])
                    name = written if written in known else known[0]
                    spans.append(Span(name, first, last, found[first].start, found[last - 1].end))
        return [span for span in spans if not any(_inside(span, other) for other in spans)]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > _SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss") else word


def _inside(span: Span, other: Span) -> bool:
    return other.first <= span.first and span.last <= other.last and other.last - other.first > span.last - span.first


def goes_on(text: str, found: Sequence[Word], span: Span, usual: frozenset[str] = frozenset()) -> bool:
    """Whether the name is part of a longer one in this text ("Toyota" in "Toyota Sequoia").

    That is so where a capitalised word touches it, unless the word is one of `usual`, the words of the
    fact's own wordings, begins a sentence as a function word, or the name itself is not written with a
    capital.
    """
    if not is_capitalised(text, found[span.first]):
        return False
    beside = [(i, gap) for i, gap in _neighbours(text, found, span) if gap in (" ", "-")]
    return any(
        is_capitalised(text, found[i]) and found[i].text not in FUNCTION_WORDS and found[i].text not in usual
        for i, _ in beside
    )


def _neighbours(text: str, found: Sequence[Word], span: Span) -> Iterable[tuple[int, str]]:
    if span.first > 0:
        yield span.first - 1, text[found[span.first - 1].end : span.start]
    if span.last < len(found):
        yield span.last, text[span.end : found[span.last].start]


def guess_spans(text: str, found: Sequence[Word]) -> list[Span]:
    """Spans that look like names, by rule: what stands in quotes, else runs of capitalised words.

    A run may hold up to two joints in a row ("University of the Arts"), and does not begin with a function
    word.
    """
    quoted = [
        _span(found, inside)
        for match in _QUOTED.finditer(text)
        if (inside := [i for i, w in enumerate(found) if match.start() < w.start and w.end < match.end()])
    ]
    return quoted or [_span(found, run) for run in _capitalised_runs(text, found)]


def _span(found: Sequence[Word], run: Sequence[int]) -> Span:
    first, last = run[0], run[-1] + 1
    name = tuple(word.text for word in found[first:last])
    return Span(name, first, last, found[first].start, found[last - 1].end)


def _capitalised_runs(text: str, found: Sequence[Word]) -> list[list[int]]:
    runs: list[list[int]] = []
    run: list[int] = []
    joints: list[int] = []
    for i, word in enumerate(found):
        capital = is_capitalised(text, word) and not (not run and word.text in FUNCTION_WORDS)
        apart = i > 0 and not set(text[found[i - 1].end : word.start]) <= set(" -'\u2019.&/")
        if apart or not (capital or (run and word.text in _JOINTS and len(joints) < _MAX_JOINTS)):
            runs, run, joints = [*runs, run] if run else runs, [], []
        if capital:
            run, joints = [*run, *joints, i], []
        elif run:
            joints = [*joints, i]
    return [*runs, run] if run else runs


def guess_name(wordings: Sequence[str]) -> Name:
    """The name a fact is about when it does not say: the guess found in most wordings, the longest of
    those."""
    prompt = wordings[0]
    guesses = [span.name for span in guess_spans(prompt, words(prompt))]
    if not guesses:
        return ()
    index = NameIndex(guesses)
    support = Counter(name for text in wordings for name in {span.name for span in index.find(words(text))})
    return max(guesses, key=lambda name: (support[name], len(name)))


def subject_name(subject: str | None, wordings: Sequence[str]) -> Name:
    """The fact's subject where a wording really names it, else the guess, else the field as it stands.

    A field of nothing but function words ("from") names nothing, unless a wording writes it as a name ("in It").
    """
    name = name_of(subject or "")
    if FUNCTION_WORDS.issuperset(name) and not any(_written_as_name(text, name) for text in wordings):
        name = ()
    if name and any(NameIndex([name]).find(words(text)) for text in wordings):
        return name
    return guess_name(wordings) or name


def _written_as_name(text: str, name: Name) -> bool:
    found = words(text)
    return any(span.first > 0 and is_capitalised(text, found[span.first]) for span in NameIndex([name]).find(found))


def mask(text: str, spans: Sequence[Span]) -> str:
    """The last sentence that holds one of `spans`, to the end of the text, with the spans masked.

    Sentences before it are context, and what a prompt sets aside ("besides his job") is not what it asks; where the
    masked rest would say nothing the whole text is kept.
    """
    if not spans:
        return text
    start = sentence_start(text, max(span.start for span in spans))
    windowed = _SET_ASIDE.sub("", _mask_from(text, spans, start)).rstrip()
    return windowed if words(windowed.replace(MASK, " ")) else _mask_from(text, spans, 0)


def _mask_from(text: str, spans: Sequence[Span], start: int) -> str:
    parts, at = [], start
    for span in sorted(spans, key=lambda s: s.start):
        if span.start >= at:
            parts += [text[at : span.start], MASK]
            at = span.end
    return "".join([*parts, text[at:]]).strip()


def name_vectors(names: Sequence[Name]) -> NDArray[np.float32]:
    """Signatures [n, NAME_DIM] of names, L2-normalised: names that share most letter trigrams lie close; ()
    is zero."""
    return np.stack([_signature(name) for name in names]) if names else np.zeros((0, NAME_DIM), dtype=np.float32)


@lru_cache(maxsize=1 << 15)
def _signature(name: Name) -> NDArray[np.float32]:
    out = np.zeros(NAME_DIM, dtype=np.float32)
    for gram in _trigrams(name):
        code = zlib.crc32(gram.encode())
        out[code % NAME_DIM] += 1.0 if code >> 16 & 1 else -1.0
    return np.asarray(out / (np.linalg.norm(out) or 1.0), dtype=np.float32)


def likeness(one: Name, other: Name) -> float:
    """Share of letter trigrams two names have in common (Dice); 0 where their numbers differ ("Clement X", "XI")."""
    if _numbers(one) != _numbers(other):
        return 0.0
    return _dice(_trigram_counts(one), _trigram_counts(other))


def weakest_word(one: Name, other: Name) -> float:
    """The least, over the words of the shorter name, of their likeness to the nearest word of the other name."""
    shorter, longer = sorted((one, other), key=len)
    return min((max(_word_likeness(word, each) for each in longer) for word in shorter), default=0.0)


@lru_cache(maxsize=1 << 14)
def _word_likeness(one: str, other: str) -> float:
    """Share of letter pairs, edges included, that two words have in common (Dice)."""
    return _dice(_pair_counts(one), _pair_counts(other))


def _dice(one: Counter[str], other: Counter[str]) -> float:
    shared = sum(min(count, other[gram]) for gram, count in one.items() if gram in other)
    return 2.0 * shared / max(1, one.total() + other.total())


def coverage(name: Name, said: AbstractSet[str]) -> float:
    """Share of a name's letters whose words occur somewhere in a text of the words `said`.

    For names that a rephrase takes apart; 0 for a name of one content word, or where a number of it is
    missing, or more than one word in four: "Lee County" is not Coke County.
    """
    content = [word for word in name if word not in FUNCTION_WORDS and word not in _WHERE]
    missing = [word for word in content if word not in said]
    if len(content) < 2 or 4 * len(missing) > len(content) or any(number not in said for number in _numbers(name)):
        return 0.0
    return 1.0 - sum(map(len, missing)) / sum(map(len, content))


@lru_cache(maxsize=1 << 16)
def _numbers(name: Name) -> list[str]:
    """The words of a name that are numbers: digits, and Roman numerals that do not begin it ("Xi Jinping")."""
    return [word for i, word in enumerate(name) if word.isdigit() or (i > 0 and _ROMAN.fullmatch(word))]


@lru_cache(maxsize=1 << 14)
def _pair_counts(word: str) -> Counter[str]:
    return Counter(map("".join, zip(f"^{word}", f"{word}$", strict=True)))


@lru_cache(maxsize=1 << 16)
def _trigram_counts(name: Name) -> Counter[str]:
    return Counter(_trigrams(name))


def _trigrams(name: Name) -> list[str]:
    text = f" {' '.join(name)} "
    return [text[i : i + 3] for i in range(len(text) - 2)] if name else []
