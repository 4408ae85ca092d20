"""A fact on its way into the log: its record, checked, and what follows from it alone.

Most records are plain: texts, lists of texts and of prompts. `plain_record` takes these without building a `Fact`,
which would cost more than everything else an ingest does with them. Whatever is out of the ordinary it leaves to
`Fact`, which also says what is wrong with it: both ways give the same record, and a test holds that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from editlog.canonical import CONTROL, canonical_words, sha256
from editlog.fact import FACT_DOMAIN, MAX_TEXT, MAX_WORDINGS, Fact, key_of
from editlog.texts import WORDS, more_of, naive

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
    """Digest, key and canonical JSON of a checked record."""
    key = key_of(record["prompt"], record.get("subject"), record.get("relation"))
    canonical, more = canonical_words(record), more_of(record)
    if "probes" not in record:
        return Sealed(sha256(FACT_DOMAIN, canonical), key, canonical, more, None)
    probes = canonical_words(record["probes"])
    # As `record_digest` has it, without encoding all again. No text holds a bare quotation mark, and a prompt follows.
    said = canonical.replace(b'"probes":%b,' % probes, b"", 1)
    return Sealed(sha256(FACT_DOMAIN, said), key, canonical, more, probes.decode())


def plain_record(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a fact's fields where nothing about them is in doubt, else None."""
    record: dict[str, Any] = {}
    texts: list[Any] = []
    for name, value in fields.items():
        if name in _WORDS:
            if value is not None:
                texts.append(value)
                record[name] = value
            continue
        read = _LISTS.get(name)
        found = read(value, texts) if read else None
        if found is None:
            return None
        if found:
            record[name] = found
    return record if "prompt" in record and "target" in record and _clean(texts) else None


def _probes(value: Any, texts: list[Any]) -> dict[str, Any] | None:
    if type(value) is not dict or not _PROBES.issuperset(value):
        return None
    found = {}
    for kind, given in value.items():
        prompts = _prompts(given, texts)
        if prompts is None:
            return None
        if prompts:
            found[kind] = prompts
    return found


def _prompts(value: Any, texts: list[Any]) -> list[dict[str, str]] | None:
    """Prompts with or without an answer, each as a record has it."""
    if type(value) is not list or len(value) > MAX_WORDINGS:
        return None
    prompts = [{"prompt": item} if type(item) is str else item for item in value]
    for prompt in prompts:
        if type(prompt) is not dict or "prompt" not in prompt or len(prompt) > 1 + ("answer" in prompt):
            return None
        texts += prompt.values()
    return prompts


def _wordings(value: Any, texts: list[Any]) -> list[str] | None:
    if type(value) is not list or len(value) > MAX_WORDINGS:
        return None
    texts += value
    return value


_LISTS = {"rephrases": _wordings, "near_misses": _prompts, "probes": _probes}


def _clean(texts: list[Any]) -> bool:
    """Whether these are texts, all of them, that `Fact` would take as they are."""
    try:
        together = "".join(texts)
    except TypeError:
        return False
    return (
        len(together) <= MAX_TEXT
        and (together.isprintable() or not CONTROL.search(together))
        and all(map(str.strip, texts))
        and (together.isascii() or all(unicodedata.is_normalized("NFC", text) for text in texts))
    )
