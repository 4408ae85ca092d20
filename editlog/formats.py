"""Public editing formats to `Fact`, told apart by their keys.

`FORMATS` is the whole story: the first format whose keys a record has reads it. A benchmark's rephrase,
locality and portability fields become probes, so that no job can learn from them; its fields that say nothing
about the edit (`case_id`, `cond`, ...) are passed over. Our own record has no such liberties: a field it does
not know is a reject, since it may be a misspelt one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from pydantic import ValidationError

from editlog.draft import Draft, draft
from editlog.fact import MAX_WORDINGS, Fact
from editlog.readers import Records, RowRecords, open_records
from editlog.rejects import BadRecordError, Code, Reject

NQ_PREFIX = "nq question:"

Json = Mapping[str, Any]
_OWN_FIELDS = frozenset(Fact.model_fields)
# The names under which a nested probe holds its question and its answer.
_PROBE_KEYS = (("prompt", "ground_truth"), ("q", "a"), ("New Question", "New Answer"))


class Labelled(NamedTuple):
    """A fact, and what its record says was true before the edit."""

    fact: Fact
    truth: tuple[str, ...]


_Read = TypeVar("_Read", Fact, Draft, Labelled)


class Format(NamedTuple):
    """One public format: the keys that tell it, and how its record reads as the fields of our own."""

    name: str
    keys: frozenset[str]
    read: Callable[[Json], dict[str, Any]]


class FactReader:
    """The facts of one input, once over: a `Fact` for each good record, a `Reject` for each other."""

    def __init__(self, records: Records, defaults: Mapping[str, str]) -> None:
        self._records = records
        self._defaults = defaults

    @property
    def converted(self) -> int:
        """How many of the records read so far had text that was not in NFC."""
        return self._records.converted

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the input; None until it was read to its end."""
        return self._records.sha256

    def __iter__(self) -> Iterator[Fact | Reject]:
        return self._read(to_fact)

    def drafts(self) -> Iterator[Draft | Reject]:
        """The same as drafts, which `EditLog.ingest` takes as well and which cost a third of what facts do."""
        return self._read(to_draft)

    def labelled(self) -> Iterator[Labelled | Reject]:
        """The same with what a benchmark's records say beside the edit."""
        return self._read(_to_labelled)

    def _read(self, read: Callable[[Json, Mapping[str, str]], _Read]) -> Iterator[_Read | Reject]:
        for record in self._records:
            if isinstance(record, Reject):
                yield record
                continue
            try:
                found = read(record.value, self._defaults)
            except BadRecordError as error:
                yield record.reject(error)
            else:
                yield found


def read_facts(
    source: str | Path | BinaryIO | RowRecords,
    *,
    limit: int | None = None,
    default_source: str | None = None,
    default_author: str | None = None,
) -> FactReader:
    """Read facts from a path (see `open_records`), `-` or an open binary stream, in any of `FORMATS`.

    `limit` takes the first so many records, good or bad; the defaults go to facts that name no source or
    author. Raises what `open_records` raises: UsageError and LifelongError, never anything for a bad record.
    """
    defaults = {"source": default_source, "author": default_author}
    return FactReader(open_records(source, limit=limit), {name: text for name, text in defaults.items() if text})


def to_fact(record: Json, defaults: Mapping[str, str] | None = None) -> Fact:
    """One record of any format as a fact; raises BadRecordError."""
    try:
        return Fact.model_validate(_fields(record, defaults))
    except ValidationError as error:
        raise _first_problem(error) from error


def _to_labelled(record: Json, defaults: Mapping[str, str]) -> Labelled:
    return Labelled(to_fact(record, defaults), _true_answers(record))


def to_draft(record: Json, defaults: Mapping[str, str] | None = None) -> Draft:
    """One record of any format as a draft; raises BadRecordError."""
    try:
        return draft(_fields(record, defaults))
    except ValidationError as error:
        raise _first_problem(error) from error


def _fields(record: Json, defaults: Mapping[str, str] | None) -> dict[str, Any]:
    fields = _format_of_keys(tuple(record)).read(record)
    for name, text in (defaults or {}).items():
        if fields.get(name) is None:
            fields[name] = text
    return fields


def _true_answers(record: Json) -> tuple[str, ...]:
    """What a benchmark's record says was true before the edit: a label to measure by, which no fact carries."""
    given = record.get("answers", record.get("ground_truth"))
    answers = given if isinstance(given, list) else [given]
    return tuple(answer for answer in answers if isinstance(answer, str) and answer.strip())


def format_of(record: Json) -> Format:
    """The format of a record, by its keys; raises BadRecordError where none fits."""
    return _format_of_keys(tuple(record))


@lru_cache(maxsize=256)
def _format_of_keys(names: tuple[str, ...]) -> Format:
    keys = set(names)
    for candidate in FORMATS:
        if candidate.keys <= keys:
            return candidate
    begun = [candidate for candidate in reversed(FORMATS) if candidate.keys & keys]
    if not begun:
        raise BadRecordError(Code.UNKNOWN_FORMAT, "none of the known formats: it has no prompt and no target")
    nearest = min(begun, key=lambda candidate: len(candidate.keys - keys))
    missing = ", ".join(sorted(nearest.keys - keys))
    raise BadRecordError(Code.MISSING_FIELD, f"{missing} is missing (read as a record of format {nearest.name})")


def _own(record: Json) -> dict[str, Any]:
    if not _OWN_FIELDS.issuperset(record):
        unknown = record.keys() - _OWN_FIELDS
        first = min(unknown)
        raise BadRecordError(Code.UNKNOWN_FIELD, f"{first[:80]!r} is not a field of a fact record{_advice(first)}")
    return dict(record)


def _advice(field: str) -> str:
    if field.startswith("rephrase"):
        return "; rephrases to learn from go under rephrases, those to measure with under probes.generality"
    if field.startswith(("loc", "portability")):
        return "; prompts to measure with go under probes"
    return ""


def _easyedit(record: Json) -> dict[str, Any]:
    """CounterFact, WikiBigEdit and KnowEdit as EasyEdit writes them; KnowEdit nests its probes."""
    return {
        "prompt": _text(record, "prompt"),
        "target": _text(record, "target_new"),
        "subject": record.get("subject"),
        "probes": {
            "generality": _probes(record, {"rephrase_prompt": None}),
            "locality": _probes(record, {"locality_prompt": "locality_ground_truth", "locality": None}),
            "portability": _probes(record, {"portability_prompt": "portability_ground_truth", "portability": None}),
        },
    }


def _wikibio(record: Json) -> dict[str, Any]:
    """KnowEdit's WikiBio part, which names things differently."""
    return _easyedit(
        {**record, "prompt": record["text"], "target_new": record["labels"], "subject": record.get("concept")}
    )


def _zsre(record: Json) -> dict[str, Any]:
    """MEND's zsRE; `loc` is an unrelated question, behind a prefix that would give it away."""
    locality = _probes(record, {"loc": "loc_ans"})
    for probe in locality:
        probe["prompt"] = probe["prompt"].removeprefix(NQ_PREFIX).lstrip()
    return {
        "prompt": _text(record, "src"),
        "target": _text(record, "alt"),
        "subject": record.get("subject"),
        "probes": {
            "generality": _probes(record, {"rephrase": None}),
            "locality": locality,
            "portability": _probes(record, {"portability": None}),
        },
    }


def _wikibigedit(record: Json) -> dict[str, Any]:
    """WikiBigEdit as its authors publish it; a persona asks the same question in a voice of its own."""
    return {
        "prompt": _text(record, "update"),
        "target": _text(record, "ans"),
        "subject": record.get("subject"),
        "relation": record.get("relation"),
        "probes": {
            "generality": _probes(record, {"rephrase": None, "personas": None}),
            "locality": _probes(record, {"loc": "loc_ans"}),
            "portability": _probes(record, {"mhop": "mhop_ans"}),
        },
    }


def _halluedit(record: Json) -> dict[str, Any]:
    """HalluEditBench: the locality question has no answer with it; the hops are consequences."""
    return {
        "prompt": _text(record, "prompt"),
        "target": _text(record, "target"),
        "subject": record.get("subject"),
        "relation": record.get("relation"),
        "probes": {
            "generality": _probes(record, {"rephrase": None}),
            "locality": _probes(record, {"locality": None}),
            "portability": _probes(record, {"hops": None}),
        },
    }


def _halluedit_csv(record: Json) -> dict[str, Any]:
    """HalluEditBench as its authors publish it: a CSV with a column for each kind of question."""
    return {
        "prompt": _text(record, "question"),
        "target": _text(record, "object"),
        "subject": record.get("subject"),
        "relation": record.get("relation"),
        "probes": {
            "generality": _probes(record, {"paraphrased_question": None}),
            "locality": _probes(record, {"locality_question": None}),
            "portability": _probes(record, {f"question_{hops}hop": f"answer_{hops}hop" for hops in range(2, 7)}),
        },
    }


def _rome(record: Json) -> dict[str, Any]:
    """ROME's CounterFact: the neighbours share the edit's relation and its true object."""
    rewrite = record["requested_rewrite"]
    if not isinstance(rewrite, dict):
        raise BadRecordError(Code.BAD_FIELD, "requested_rewrite is not an object: one record must hold one edit")
    subject = _text(rewrite, "subject")
    record = {
        **record,
        "target_new": _bare(rewrite.get("target_new")),
        "true": _bare(rewrite.get("target_true")),
    }
    return {
        "prompt": _text(rewrite, "prompt").replace("{}", subject),
        "target": _text(record, "target_new"),
        "subject": subject,
        "relation": rewrite.get("relation_id"),
        "probes": {
            "generality": _probes(record, {"paraphrase_prompts": None}),
            "locality": _probes(record, {"neighborhood_prompts": "true"}),
        },
    }


FORMATS = (
    Format("rome", frozenset({"requested_rewrite"}), _rome),
    Format("zsre", frozenset({"src", "alt"}), _zsre),
    Format("wikibigedit", frozenset({"update", "ans"}), _wikibigedit),
    Format("easyedit", frozenset({"prompt", "target_new"}), _easyedit),
    Format("knowedit-wikibio", frozenset({"text", "labels"}), _wikibio),
    Format("halluedit", frozenset({"prompt", "target", "rephrase", "locality"}), _halluedit),
    Format("halluedit-csv", frozenset({"question", "object", "paraphrased_question"}), _halluedit_csv),
    Format("lifelong", frozenset({"prompt", "target"}), _own),
)


def _text(record: Json, field: str) -> str:
    value = record.get(field)
    if value is None:
        raise BadRecordError(Code.MISSING_FIELD, f"{field} is missing")
    if not isinstance(value, str):
        raise BadRecordError(Code.BAD_FIELD, f"{field} is not a string")
    if not value.strip():
        raise BadRecordError(Code.BAD_FIELD, f"{field} is empty")
    return value


def _bare(value: Any) -> Any:
    return value.get("str") if isinstance(value, dict) else value


def _probes(record: Json, fields: Mapping[str, str | None]) -> list[dict[str, str]]:
    """The first 64 probes under `fields` (question field: answer field), however nested; no blank ones."""
    found = (
        probe
        for question, answer in fields.items()
        for probe in _questions(record.get(question), record.get(answer) if answer else None, question)
    )
    return list(islice(found, MAX_WORDINGS))


def _questions(value: Any, answer: Any, field: str) -> Iterator[dict[str, str]]:
    match value:
        case None:
            return
        case str():
            if value.strip():
                text = _first_text(answer)
                yield {"prompt": value, "answer": text} if text else {"prompt": value}
        case list():
            paired = isinstance(answer, list) and len(answer) == len(value)
            for index, inner in enumerate(value):
                yield from _questions(inner, answer[index] if paired else answer, field)
        case dict():
            for question, its_answer in _PROBE_KEYS:
                if question in value:
                    yield from _questions(value[question], value.get(its_answer), field)
                    return
            for inner in value.values():
                yield from _questions(inner, None, field)
        case _:
            raise BadRecordError(Code.BAD_FIELD, f"{field} holds a {type(value).__name__} where a prompt should be")


def _first_text(answer: Any) -> str | None:
    """The first of an answer's aliases, which may be nested; None where there is no answer."""
    while isinstance(answer, list) and answer:
        answer = answer[0]
    if isinstance(answer, int | float):
        return str(answer)
    return answer if isinstance(answer, str) and answer.strip() else None


def _first_problem(error: ValidationError) -> BadRecordError:
    """What pydantic found wrong with the fields of a fact, in one sentence."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return BadRecordError(Code.UNKNOWN_FIELD, f"{place} is not a field of a fact record")
        case "missing":
            return BadRecordError(Code.MISSING_FIELD, f"{place} is missing")
    reason = problem["msg"].removeprefix("Value error, ")
    return BadRecordError(Code.BAD_FIELD, f"{place}: {reason}" if place else reason)
