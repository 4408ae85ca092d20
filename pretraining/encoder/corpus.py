"""What the encoder learns from: masked wordings by relation, and pairs of the tuning halves with their near
misses.

Relations come from ParaRel's patterns, from `relations.txt` and `wordings.txt`, and from Wikidata's labels;
pairs from tuning records outside `fit_fold`. A text may belong to several relations ("[X] is located in"); such are
never each other's negatives.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from lifelong.anchors.encoder import LexicalEncoder
from lifelong.anchors.scope import mask_name
from lifelong.anchors.subject import guess_name, subject_name
from lifelong.anchors.text import MASK, words
from lifelong.evaluation.probe_rules import is_mislabelled
from pretraining.encoder.fit_gate import fit_fold
from pretraining.encoder.streams import Record, half, load
from pretraining.settings import data_folder
from pretraining.wordings import QUESTIONS, STATEMENTS, statement_prompt

LABEL_FORMS = (
    "What is the {r} of [X]?",
    "The {r} of [X] is",
    "[X] {r}",
    "[X]'s {r} is",
    "What is [X]'s {r}?",
    "Which {r} does [X] have?",
    "{r} of [X]",
    "Who is the {r} of [X]?",
    "What {r} is [X] associated with?",
    "Name the {r} of [X].",
)
NAME_FORMS = ("The {r} of [X] is", "Who is the {r} of [X]?", "What is [X]'s {r}?", "[X] {r}")
"""Forms of a relation's other names: fewer, so that whole sentences are not drowned by bare words."""
WRITTEN = ("relations.txt", "wordings.txt")

_FIELD = re.compile(r"^(?:The (.+) of \[X\] is|\[X\] (.+))$")


@dataclass
class Pair:
    """Two wordings of one relation, the relation where it is known, and wordings that are not of it."""

    one: str
    other: str
    relation: str | None = None
    against: tuple[str, ...] = ()


@dataclass
class Corpus:
    """Wordings by relation, pairs by stream, and the relations that each wording occurs with."""

    relations: dict[str, list[str]]
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    relations_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def texts(self) -> list[str]:
        """Every wording once."""
        of_pairs = (t for pairs in self.pairs.values() for p in pairs for t in (p.one, p.other, *p.against))
        return list(dict.fromkeys([*(t for ts in self.relations.values() for t in ts), *of_pairs]))


@lru_cache(maxsize=1 << 18)
def norm(text: str) -> str:
    """The form in which wordings are compared."""
    return " ".join(MASK if part is None else part for part in _parts(text))


def _parts(text: str) -> Iterable[str | None]:
    for i, piece in enumerate(text.split(MASK)):
        if i:
            yield None
        yield from (word.text for word in words(piece))


FOLDS = 5


def fold_of(relation: str) -> int:
    """The fold of a relation: training without one fold says how the gate does on relations it never saw."""
    return int(hashlib.sha256(relation.encode()).hexdigest(), 16) % FOLDS


def corpus(left_out: int | None = None) -> Corpus:
    """Read and sort everything there is to learn from, but for the relations of the fold `left_out`."""
    made = Corpus(relations())
    for relation, texts in made.relations.items():
        for text in texts:
            made.relations_of[norm(text)].add(relation)
    made.pairs = {name: _pairs(name, made) for name in ("counterfact", "zsre", "knowedit", "wikibigedit", "halluedit")}
    for pairs in made.pairs.values():
        for pair in pairs:
            if pair.relation:
                for text in (pair.one, pair.other):
                    made.relations_of[norm(text)].add(pair.relation)
    return made if left_out is None else _without(made, left_out)


def _without(made: Corpus, fold: int) -> Corpus:
    """The corpus without any wording of the fold's relations, labelled or not, be it another relation's too.

    A wording without a label counts to the relation whose wordings it shares most words and letters with.
    """
    encoder = LexicalEncoder()
    texts = [(text, relation) for relation, of_it in made.relations.items() for text in of_it]
    known = encoder.encode([text for text, _ in texts])

    def is_out(wordings: Sequence[str]) -> list[bool]:
        nearest = (encoder.encode(wordings) @ known.T).argmax(axis=1) if len(wordings) else ()
        return [
            any(fold_of(r) == fold for r in made.relations_of.get(norm(text)) or (texts[i][1],))
            for text, i in zip(wordings, nearest, strict=True)
        ]

    def stays(text: str) -> bool:
        return all(fold_of(r) != fold for r in made.relations_of[norm(text)])

    others = {r: list(filter(stays, of_it)) for r, of_it in made.relations.items() if fold_of(r) != fold}
    left = Corpus({r: of_it for r, of_it in others.items() if of_it})
    for stream, pairs in made.pairs.items():
        out = [
            any(each)
            for each in zip(*(is_out([getattr(p, side) for p in pairs]) for side in ("one", "other")), strict=True)
        ]
        kept = [p for p, is_gone in zip(pairs, out, strict=True) if not is_gone and fold_of(p.relation or "") != fold]
        against = dict(zip(wordings := [t for p in kept for t in p.against], is_out(wordings), strict=True))
        left.pairs[stream] = [replace(p, against=tuple(t for t in p.against if not against[t])) for p in kept]
    left.relations_of.update(
        {text: {r for r in of_it if r in left.relations} for text, of_it in made.relations_of.items()}
    )
    return left


def relations() -> dict[str, list[str]]:
    """Wordings by relation: one name for a Wikidata label and the ParaRel relations that mean the same."""
    found: dict[str, list[str]] = defaultdict(list)
    same: dict[str, str] = {}
    for head, items in written():
        label = re.sub(r"( P\d+)+$", "", head)
        same.update(dict.fromkeys(re.findall(r"\bP\d+\b", head), label))
        for item in items:
            found[label] += [item] if MASK in item else [form.format(r=item) for form in NAME_FORMS]
    for line in (data_folder() / "pararel-patterns.jsonl").read_text("utf-8").splitlines():
        item = json.loads(line)
        relation = item["relation"]
        prompts = [prompt for pattern in item["patterns"] if (prompt := statement_prompt(pattern))]
        found[same.get(relation, relation)] += [
            *prompts,
            *QUESTIONS.get(relation, ()),
            *STATEMENTS.get(relation, ()),
        ]
    triples = (data_folder() / "wikidata-triples.jsonl").read_text("utf-8").splitlines()
    labels = dict.fromkeys(json.loads(line)["relation"] for line in triples)
    for label in dict.fromkeys([*labels, *found]):
        if not re.fullmatch(r"P\d+", label):
            found[label] += [form.format(r=label) for form in LABEL_FORMS]
    return {relation: list(dict.fromkeys(texts)) for relation, texts in found.items()}


def written() -> Iterable[tuple[str, list[str]]]:
    """Heads of the lines written for this project, and what stands behind each: wordings, and other names."""
    for name in WRITTEN:
        for line in (Path(__file__).parent / name).read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                head, items = line.split(" = ", 1)
                yield head, items.split(" | ")


def _pairs(stream: str, made: Corpus) -> list[Pair]:
    records = [record for record in half(load(stream), "tuning") if not fit_fold(record)]
    return [pair for record in records for pair in _of_record(stream, record, made)]


def _of_record(stream: str, record: Record, made: Corpus) -> Iterable[Pair]:
    name = subject_name(record.subject, [record.prompt])
    prompt, *rephrases = (mask_name(text, name) for text in (record.prompt, *record.rephrases))
    relation = record.relation
    against: list[str] = []
    about = {
        "wordings": (record.prompt, *record.rephrases),
        "answers": record.answers,
        "relation": record.relation,
    }
    for probe in record.locality:
        if stream in ("knowedit", "halluedit") and not is_mislabelled(probe.prompt, probe.answers, name, **about):
            against.append(mask_name(probe.prompt, name))
        if stream == "knowedit" and (label := _FIELD.match(mask_name(probe.prompt, name))):
            other = label.group(1) or label.group(2)
            made.relations.setdefault(other, [form.format(r=other) for form in LABEL_FORMS])
        if stream == "counterfact":  # the same relation of another subject
            same = mask_name(probe.prompt, guess_name([probe.prompt]))
            known = made.relations_of.get(norm(prompt), set()) & made.relations_of.get(norm(same), set())
            relation = min(known) if len(known) == 1 else relation
            yield Pair(prompt, same, relation)
    against += [mask_name(hop, name) for hop in record.hops[:1]]
    for rephrase in rephrases:
        yield Pair(prompt, rephrase, relation, tuple(against))
