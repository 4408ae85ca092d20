"""A fact on its way into the log: its record, checked, and what follows from it alone.

Most records are plain: texts, lists of texts and of prompts. `plain_record` takes these without building a `Fact`,
which would cost more than everything else an ingest does with them. Whatever is out of the ordinary it leaves to
`Fact`, which also says what is wrong with it: both ways give the same record, and a test holds that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from editlog.canonical import quoted, sha256
from editlog.fact import CONTROL, FACT_DOMAIN, MAX_TEXT, MAX_WORDINGS, Fact, key_of
from editlog.texts import MORE, WORDS, naive

_WORDS = frozenset(WORDS)
_PROBES = frozenset({"generality", "locality", "portability"})


class Draft(NamedTuple):
    """A checked record (see `Fact.record`); the moments, naive UTC, are those that the record has as text."""

    record: dict[str, Any]
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class Sealed(NamedTuple):
    """What the log stores of a record, or makes commitments over, but for the secret.

    `digest` is raw; `canonical` the canonical JSON of the whole record; `more` and `probes` that of its lists and of
    its probes, None where there are none.
    """

    digest: bytes
    key: str
    canonical: bytes
    more: str | None
    probes: str | None


def draft_of(fact: Fact) -> Draft:
    """The draft of a fact."""
    return Draft(fact.record(), fact.valid_from and naive(fact.valid_from), fact.valid_to and naive(fact.valid_to))


def draft(fields: Mapping[str, Any]) -> Draft:
    """The draft of a fact's fields; raises pydantic's ValidationError as `Fact.model_validate` does."""
    record = plain_record(fields)
    return draft_of(Fact.model_validate(fields)) if record is None else Draft(record)


def seal(record: Mapping[str, Any]) -> Sealed:
    """Digest, key and canonical JSON of a checked record, each part of it encoded once."""
    key = key_of(record["prompt"], record.get("subject"), record.get("relation"))
    parts = {name: _JSON.get(name, quoted)(value) for name, value in record.items()}
    whole, said, more = _templates(tuple(record))
    canonical = (whole % parts).encode()
    said_only = canonical if said == whole else (said % parts).encode()
    return Sealed(sha256(FACT_DOMAIN, said_only), key, canonical, more and more % parts, parts.get("probes"))


@lru_cache(maxsize=256)
def _templates(names: tuple[str, ...]) -> tuple[str, str, str | None]:
    """Canonical JSON of a record of these names: of all, of what is said, and of its lists, None without any."""
    lists = [name for name in MORE if name in names]
    said = [name for name in names if name != "probes"]
    return _template(names), _template(said), _template(lists) if lists else None


def _template(names: Iterable[str]) -> str:
    return "{" + ",".join(f'"{name}":%({name})s' for name in sorted(names)) + "}"


def _texts_json(texts: Sequence[str]) -> str:
    return f"[{','.join(map(quoted, texts))}]"


def _prompts_json(prompts: Sequence[Mapping[str, str]]) -> str:
    return f"[{','.join(map(_prompt_json, prompts))}]"


def _prompt_json(prompt: Mapping[str, str]) -> str:
    answer = prompt.get("answer")
    said = f'"prompt":{quoted(prompt["prompt"])}}}'
    return "{" + said if answer is None else f'{{"answer":{quoted(answer)},{said}'


def _probes_json(probes: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    kinds = (f'"{kind}":{_prompts_json(prompts)}' for kind, prompts in sorted(probes.items()))
    return f"{{{','.join(kinds)}}}"


# Canonical JSON of what a checked record may hold besides texts, in a third of the time of an encoder for everything.
_JSON: Mapping[str, Callable[[Any], str]] = {
    "rephrases": _texts_json,
    "near_misses": _prompts_json,
    "probes": _probes_json,
}


def plain_record(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a fact's fields where nothing about them is in doubt, else None."""
    record: dict[str, Any] = {}
    texts: list[str] = []
    for name, value in fields.items():
        if name in _WORDS:
            if type(value) is str:
                texts.append(value)
                record[name] = value
            elif value is not None:
                return None
            continue
        read = _LISTS.get(name)
        found = read(value, texts) if read else None
        if found is None:
            return None
        if found:
            record[name] = found
    return record if "prompt" in record and "target" in record and _clean(texts) else None


def _probes(value: Any, texts: list[str]) -> dict[str, Any] | None:
    if type(value) is not dict or not value.keys() <= _PROBES:
        return None
    found = {kind: _prompts(prompts, texts) for kind, prompts in value.items()}
    return None if None in found.values() else {kind: prompts for kind, prompts in found.items() if prompts}


def _prompts(value: Any, texts: list[str]) -> list[dict[str, str]] | None:
    """Prompts with or without an answer, each as a record has it."""
    if type(value) is not list or len(value) > MAX_WORDINGS:
        return None
    found = []
    for item in value:
        prompt = {"prompt": item} if type(item) is str else item
        if type(prompt) is not dict or not {"prompt"} <= prompt.keys() <= {"prompt", "answer"}:
            return None
        if _wordings(list(prompt.values()), texts) is None:
            return None
        found.append(prompt)
    return found


def _wordings(value: Any, texts: list[str]) -> list[str] | None:
    if type(value) is not list or len(value) > MAX_WORDINGS or set(map(type, value)) - {str}:
        return None
    texts += value
    return value


_LISTS = {"rephrases": _wordings, "near_misses": _prompts, "probes": _probes}


def _clean(texts: list[str]) -> bool:
    """Whether `Fact` would take all of these texts as they are."""
    together = "".join(texts)
    return (
        len(together) <= MAX_TEXT
        and (together.isprintable() or not CONTROL.search(together))
        and all(map(str.strip, texts))
        and (together.isascii() or all(unicodedata.is_normalized("NFC", text) for text in texts))
    )
