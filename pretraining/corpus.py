"""The training mix: a published list of facts with their prompts, subjects for notes, and running text.

Contract: `build` writes `known-facts.jsonl`, `note-subjects.jsonl`, `text.jsonl` and `report.json` into the
work folder, byte for byte the same for equal data and settings, and nothing that `Exclusions` refuses is in
them. No prompt of the facts has two answers.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pretraining import sources
from pretraining.exclusions import Exclusions, fold
from pretraining.settings import Settings
from pretraining.sources import Triple
from pretraining.wordings import HELD_OUT_RELATIONS, Wordings, triple_wordings, wordings_of

FACTS, NOTE_SUBJECTS, TEXT, REPORT = "known-facts.jsonl", "note-subjects.jsonl", "text.jsonl", "report.json"
PARAREL, WIKIDATA, QUESTIONS = "pararel", "wikidata", "qa"


@dataclass(frozen=True)
class KnownFact:
    """One true fact, with the prompts trained on and the prompts held out.

    `relation` is a ParaRel id, a Wikidata label, or the question with `[X]` for its subject; `others` are objects
    of the same relation that a note may put in the place of the true one, never a benchmark's new target.
    """

    source: str
    relation: str
    subject: str
    object: str
    seen: tuple[str, ...]
    held_out: tuple[str, ...]
    others: tuple[str, ...] = ()


class _Builder:
    """Turns triples into facts so that no prompt ever has two answers."""

    def __init__(self, settings: Settings, exclusions: Exclusions) -> None:
        self.settings = settings
        self.exclusions = exclusions
        self._answer_of: dict[str, str] = {}

    def fact(self, source: str, triple: Triple, wordings: Wordings) -> KnownFact | None:
        """Return the fact with its prompts, or None where it has to stay out."""
        if len(triple.subject) > self.settings.longest_subject or len(triple.object) > self.settings.longest_answer:
            return None
        subject, answer = fold(triple.subject), fold(triple.object)
        # Where one name holds the other ("flag of France"), copying is enough and nothing is known.
        if answer in subject or subject in answer or self.exclusions.refuses_fact(triple):
            return None
        seen, held_out = (self._prompts(triple, templates) for templates in (wordings.seen, wordings.held_out))
        # A prompt that another fact answers otherwise ("[X] is in") is left to that fact.
        if 2 * len(seen) <= len(wordings.seen):
            return None
        self._answer_of.update(dict.fromkeys(map(fold, (*seen, *held_out)), triple.object))
        return KnownFact(source, triple.relation, triple.subject, triple.object, seen, held_out)

    def _prompts(self, triple: Triple, templates: Iterable[str]) -> tuple[str, ...]:
        prompts = (template.replace("[X]", triple.subject) for template in templates)
        return tuple(prompt for prompt in prompts if self._may_ask(prompt, triple.object))

    def _may_ask(self, prompt: str, answer: str) -> bool:
        return self._answer_of.get(fold(prompt), answer) == answer and not self.exclusions.refuses_prompt(
            prompt, answer
        )


def _single_valued(triples: Iterable[Triple]) -> dict[str, list[Triple]]:
    """Group by relation, keeping the subjects for which the data gives exactly one object."""
    objects: dict[tuple[str, str], set[str]] = defaultdict(set)
    for triple in triples:
        objects[triple.relation, triple.subject].add(triple.object)
    grouped: dict[str, list[Triple]] = defaultdict(list)
    for (relation, subject), values in sorted(objects.items()):
        if len(values) == 1:
            grouped[relation].append(Triple(relation, subject, *values))
    return grouped


def _shuffled(triples: Sequence[Triple], seed: str, first: Callable[[Triple], bool]) -> list[Triple]:
    order = random.Random(seed).sample(list(triples), len(triples))
    return sorted(order, key=lambda triple: not first(triple))


def _choose(
    builder: _Builder,
    source: str,
    candidates: Mapping[str, Sequence[Triple]],
    wordings: Mapping[str, Wordings],
    most: Mapping[str, int],
) -> list[KnownFact]:
    """Take up to `most` facts of every relation, in the order in which they come."""
    chosen: list[KnownFact] = []
    for relation, templates in wordings.items():
        taken = 0
        for triple in candidates.get(relation, ()):
            if taken == most[relation]:
                break
            if (fact := builder.fact(source, triple, templates)) is not None:
                chosen.append(fact)
                taken += 1
    return chosen


def _questions(data: Path, builder: _Builder) -> list[KnownFact]:
    """Take the benchmarks' own questions of the tuning halves, where one true answer is given."""
    facts = []
    for asked in sources.tuning_questions(data):
        relation = asked.prompt.replace(asked.subject, "[X]")
        if len(set(asked.answers)) == 1 and "[X]" in relation:
            triple = Triple(relation, asked.subject, asked.answers[0])
            facts.append(builder.fact(QUESTIONS, triple, Wordings((relation,), ())))
    # Two streams may ask the same.
    return list(dict.fromkeys(fact for fact in facts if fact is not None))


def choose_facts(data: Path, settings: Settings, exclusions: Exclusions) -> tuple[list[KnownFact], list[KnownFact]]:
    """Choose the facts that the base shall know, and further ones whose subjects only notes speak of.

    ParaRel comes balanced over relations, what CounterFact's prompts are about first: the base should know the
    old answer of what people will edit.
    """
    builder = _Builder(settings, exclusions)
    subjects, pairs = sources.edited_facts(data)
    seed = f"{settings.seed}:facts"
    pararel = {
        relation: _shuffled(
            triples,
            f"{seed}:{relation}",
            lambda triple: triple.subject in subjects or (triple.subject, triple.object) in pairs,
        )
        for relation, triples in _single_valued(sources.pararel_facts(data)).items()
    }
    wikidata = {
        relation: _shuffled(triples, f"{seed}:{relation}", lambda triple: False)
        for relation, triples in _single_valued(sources.wikidata_facts(data)).items()
    }
    of_pararel = wordings_of(sources.pararel_patterns(data))
    of_wikidata = {label: each for label in sorted(wikidata) if (each := triple_wordings(label)) is not None}
    limit = dict.fromkeys(of_pararel, settings.facts_per_relation)
    known = _choose(builder, PARAREL, pararel, of_pararel, limit)
    triples = _choose(
        builder, WIKIDATA, wikidata, of_wikidata, dict.fromkeys(of_wikidata, settings.triples_per_relation)
    )
    random.Random(f"{seed}:triples").shuffle(triples)
    facts = [*known, *triples[: settings.triple_facts], *_questions(data, builder)]

    taken = {(fact.relation, fact.subject) for fact in facts}
    left = {
        relation: [triple for triple in group if (triple.relation, triple.subject) not in taken]
        for relation, group in {**pararel, **wikidata}.items()
    }
    share = -(-settings.note_subjects // (2 * len(of_pararel)))
    outside = _choose(builder, PARAREL, left, of_pararel, dict.fromkeys(of_pararel, share))
    further = _choose(builder, WIKIDATA, left, of_wikidata, dict.fromkeys(of_wikidata, share))
    random.Random(f"{seed}:further").shuffle(further)
    outside += further[: settings.note_subjects - len(outside)]
    return _with_others(facts, outside, exclusions, settings)


def _with_others(
    facts: list[KnownFact], outside: list[KnownFact], exclusions: Exclusions, settings: Settings
) -> tuple[list[KnownFact], list[KnownFact]]:
    """Give every fact some other objects of its relation for notes, none of them wanted by a benchmark."""
    objects: dict[str, Counter[str]] = defaultdict(Counter)
    for fact in (*facts, *outside):
        objects[fact.relation][fact.object] += 1
    pools = {relation: sorted(counts) for relation, counts in objects.items()}

    def others(fact: KnownFact) -> tuple[str, ...]:
        rng = random.Random(f"{settings.seed}:others:{fact.relation}:{fact.subject}")
        pool = pools[fact.relation]
        drawn = rng.sample(pool, min(len(pool), 2 * settings.other_objects))
        allowed = [
            value
            for value in drawn
            if value != fact.object and not exclusions.wants(fact.subject, value) and fold(value) != fold(fact.subject)
        ]
        return tuple(allowed[: settings.other_objects])

    return tuple([replace(fact, others=others(fact)) for fact in group] for group in (facts, outside))  # type: ignore[return-value]


def choose_text(data: Path, settings: Settings, exclusions: Exclusions) -> list[str]:
    """Choose the running text: all Wikipedia sentences and some prose, without what is refused."""
    paragraphs = sources.book_paragraphs(data)
    random.Random(f"{settings.seed}:books").shuffle(paragraphs)
    prose, characters = [], 0
    for paragraph in paragraphs:
        if characters >= settings.book_characters:
            break
        prose.append(paragraph)
        characters += len(paragraph)
    documents = [text for text in (*sources.wikipedia_sentences(data), *prose) if not exclusions.refuses_text(text)]
    random.Random(f"{settings.seed}:text").shuffle(documents)
    return documents


def build(data: Path, folder: Path, settings: Settings) -> None:
    """Write the corpus and the report of what was left out."""
    exclusions = Exclusions.from_data(data)
    facts, outside = choose_facts(data, settings, exclusions)
    text = choose_text(data, settings, exclusions)
    folder.mkdir(parents=True, exist_ok=True)
    digest = _write_lines(folder / FACTS, (asdict(fact) for fact in facts))
    _write_lines(folder / NOTE_SUBJECTS, (asdict(fact) for fact in outside))
    _write_lines(folder / TEXT, text)
    wordings = wordings_of(sources.pararel_patterns(data))
    report: dict[str, Any] = {
        "facts": len(facts),
        "facts_by_source": dict(Counter(fact.source for fact in facts)),
        "facts_sha256": digest,
        "note_subjects": len(outside),
        "text_documents": len(text),
        "text_characters": sum(map(len, text)),
        "held_out_relations": sorted(HELD_OUT_RELATIONS),
        "held_out_wordings": {relation: list(each.held_out) for relation, each in wordings.items()},
        "refused": dict(sorted(exclusions.refused.items())),
    }
    (folder / REPORT).write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_facts(folder: Path, name: str = FACTS) -> list[KnownFact]:
    """Read the published list of facts, or with NOTE_SUBJECTS the subjects that only notes speak of."""
    lists = ("seen", "held_out", "others")
    return [
        KnownFact(**{**row, **{field: tuple(row[field]) for field in lists}})
        for row in sources.read_records(folder / name)
    ]


def read_text(folder: Path) -> list[str]:
    """Read the running text."""
    # Not splitlines(): a document may hold a line separator, which JSON leaves as it is.
    return [json.loads(line) for line in (folder / TEXT).read_text(encoding="utf-8").split("\n") if line]


def _write_lines(path: Path, rows: Iterable[Any]) -> str:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
