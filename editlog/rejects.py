"""Rejects: records that were left out, each with its line, a code for scripts, and a reason for people."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import NamedTuple

from editlog.canonical import tag

MAX_EXCERPT = 200


class Code(StrEnum):
    """Why a record was rejected: a closed set, for scripts; the reason beside it is for people."""

    NOT_UTF8 = "not-utf8"
    TOO_LONG = "too-long"
    TOO_DEEP = "too-deep"
    NOT_JSON = "not-json"
    NOT_AN_OBJECT = "not-an-object"
    DUPLICATE_KEY = "duplicate-key"
    NOT_FINITE = "not-finite"
    BAD_TEXT = "bad-text"
    UNKNOWN_FORMAT = "unknown-format"
    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    BAD_FIELD = "bad-field"


class BadRecordError(Exception):
    """A record that cannot be taken, with the code and the reason that its `Reject` will carry."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Reject(NamedTuple):
    """One record that was left out.

    `line` counts from 1: the line, or the record where the input is an array. `sha256` is the tagged hash of
    the raw line without its line feed (of an element of an array: without the white space around it),
    `excerpt` its first 200 characters at most.
    """

    line: int
    code: Code
    reason: str
    sha256: str
    excerpt: str

    def to_line(self) -> bytes:
        """The reject as one line of JSON."""
        return json.dumps(self._asdict(), ensure_ascii=False).encode("utf-8", errors="replace") + b"\n"


def reject_of(line: int, raw: bytes, error: BadRecordError) -> Reject:
    """The reject of the record at `line` with these bytes."""
    return Reject(line, error.code, error.reason, tag(hashlib.sha256(raw).digest()), excerpt_of(raw))


def excerpt_of(raw: bytes) -> str:
    """The beginning of a record, as far as it can be read."""
    return raw[: 4 * MAX_EXCERPT].decode("utf-8", errors="replace")[:MAX_EXCERPT]
