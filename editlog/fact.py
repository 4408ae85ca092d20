"""A fact: one correction, as someone gave it.

Identity (`digest`) and subject matter (`key`) are decided here, on text alone and never on token ids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from editlog.canonical import CONTROL, canonical_words, fold, sha256, tag

FACT_DOMAIN = b"lifelong/fact/v1\x00"
MAX_TEXT = 8192
MAX_WORDINGS = 64
NAMED, PROMPTED = "sr\x1f", "p\x1f"
"""What a key begins with that is made of subject and relation, and one that is made of the prompt."""


def _clean(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("holds a control character or a lone surrogate")
    if not text.strip():
        raise ValueError("is empty or only white space")
    return unicodedata.normalize("NFC", text)


def _bare_prompt(value: Any) -> Any:
    return {"prompt": value} if isinstance(value, str) else value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from error


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_clean)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NearMiss(_Frozen):
    """A prompt that looks like the fact's and must keep the base's answer (`answer`, where it is known)."""

    prompt: Text
    answer: Text | None = None


class Probe(NearMiss):
    """A prompt used only to measure; `answer` is what is expected of it."""


_Wordings = Field(max_length=MAX_WORDINGS)
NearMisses = Annotated[tuple[Annotated[NearMiss, BeforeValidator(_bare_prompt)], ...], _Wordings]
ProbeList = Annotated[tuple[Annotated[Probe, BeforeValidator(_bare_prompt)], ...], _Wordings]


class Probes(_Frozen):
    """The probes of one fact, by what they measure. No job ever reads them."""

    generality: ProbeList = ()
    locality: ProbeList = ()
    portability: ProbeList = ()

    def __bool__(self) -> bool:
        return bool(self.generality or self.locality or self.portability)


class Fact(_Frozen):
    """One correction: after it, `prompt` is to be answered with `target`.

    `rephrases` and `near_misses` are there to learn from, `probes` only to measure. `id`, `source` and
    `valid_from` are part of the fact's identity, so that the same words can be said again on purpose.
    """

    prompt: Text
    target: Text
    subject: Text | None = None
    relation: Text | None = None
    rephrases: Annotated[tuple[Text, ...], Field(max_length=MAX_WORDINGS)] = ()
    near_misses: NearMisses = ()
    probes: Probes = Probes()
    source: Text | None = None
    author: Text | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = None
    id: Text | None = None

    @model_validator(mode="after")
    def _valid_interval(self) -> Fact:
        if self.valid_from and self.valid_to and self.valid_to <= self.valid_from:
            raise ValueError("valid_to must be later than valid_from")
        return self

    def record(self) -> dict[str, Any]:
        """The fact as plain JSON data, without what was not given; `Fact.model_validate` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @cached_property
    def digest(self) -> str:
        """Tagged hash of the content, probes left out: equal digests are the same fact, ingested twice."""
        return tag(record_digest(self.record()))

    @cached_property
    def key(self) -> str:
        """What the fact is about: canonical (subject, relation), or the canonical prompt without these."""
        return key_of(self.prompt, self.subject, self.relation)

    @property
    def wordings(self) -> tuple[str, ...]:
        """Every wording there is to learn from, the prompt first, without repeats."""
        return tuple(dict.fromkeys((self.prompt, *self.rephrases)))

    def valid_at(self, moment: datetime) -> bool:
        """Whether the fact holds in the world at `moment` (aware): valid_from <= moment < valid_to."""
        return (self.valid_from is None or self.valid_from <= moment) and (
            self.valid_to is None or moment < self.valid_to
        )


def key_of(prompt: str, subject: str | None, relation: str | None) -> str:
    """What a fact with these words is about; see `Fact.key`."""
    if subject and relation:
        return f"{NAMED}{fold(subject)}\x1f{_folded_relation(relation)}"
    return f"{PROMPTED}{fold(prompt)}"


_folded_relation = lru_cache(maxsize=256)(fold)  # there are few, and a fact is taken in in forty millionths of a second


def record_digest(record: Mapping[str, Any]) -> bytes:
    """Raw digest (32 bytes) of a fact's record, its probes left out: what is measured is not what is said."""
    said = {name: value for name, value in record.items() if name != "probes"}
    return sha256(FACT_DOMAIN, canonical_words(said))
