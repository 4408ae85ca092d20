"""Bytes to JSON records: JSON lines or one JSON array, each record held to limits before anything sees it.

The first non-blank byte decides: `[` opens one JSON array of records, anything else is JSON lines. A path that
ends in `.gz`, `.bz2`, `.xz` or `.zst` is decompressed, `-` is standard input. A record must be

* at most 64 KiB of valid UTF-8 (a byte order mark at the start is tolerated), nested at most 16 deep,
* one JSON object, with no key twice and no NaN, infinity or number that overflows to one,
* free of NUL and of lone surrogates.

Its text comes out in NFC. What fails is a `Reject`, and reading goes on behind it. JSON lines are read in
flat memory whatever their number and length; an array is held in memory whole, hence at most 256 MiB of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, cast

from editlog.canonical import tag
from editlog.compressed import FAILURES, unpacked
from editlog.errors import LifelongError, UsageError

MAX_RECORD = 64 * 1024
MAX_DEPTH = 16
MAX_ARRAY = 256 * 1024 * 1024
MAX_EXCERPT = 200

STANDARD_INPUT = "-"

_BOM = b"\xef\xbb\xbf"
_BLOCK = 1024 * 1024
# Strings are matched so that brackets inside them are not counted; a flat object is one token, for speed.
_STRING = rb'"(?:[^"\\]++|\\.)*+'
_STRUCTURE = re.compile(
    rb"\{(?:[^]{}[\"]++|" + _STRING + rb'")*+\}|' + _STRING + rb'"?|[]{}[,]',
    re.DOTALL,
)
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


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


class Record(NamedTuple):
    """One record that holds to the limits: its place (see `Reject.line`), its bytes, its JSON object."""

    line: int
    raw: bytes
    value: dict[str, Any]

    def reject(self, error: BadRecordError) -> Reject:
        """The reject for a record that is good JSON, but not a fact."""
        return reject_of(self.line, self.raw, error)


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


class JsonRecords:
    """The records of one input, once over: a `Record` for each good one, a `Reject` for each other.

    `source` is a path, `-` for standard input, or an open, buffered binary stream (left open). `limit` takes the first
    so many records, good or bad. `converted` counts the records so far whose text was not in NFC. Raises
    UsageError where a path cannot be opened, LifelongError where the input cannot be read to its end or is an
    array of more than 256 MiB.
    """

    def __init__(self, source: str | Path | BinaryIO, *, limit: int | None = None) -> None:
        self.converted = 0
        self._limit = limit
        self._closing = ExitStack()
        self._input = HashingStream(self._open(source))
        self._from_path = isinstance(source, str | Path) and str(source) != STANDARD_INPUT
        self._name = str(source) if self._from_path else "the input"

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the input as it lies there (gzip: compressed); None until it was read to its end."""
        return self._input.sha256

    def __iter__(self) -> Iterator[Record | Reject]:
        buffered = io.BufferedReader(self._input, _BLOCK)
        stream = unpacked(buffered, self._name) if self._from_path else buffered
        with self._closing:
            try:
                yield from self._records(stream)
                if self._from_path:
                    while buffered.read(_BLOCK):
                        """Behind the limit: hashed, so that the hash names the whole file."""
            except FAILURES as error:
                raise LifelongError(f"cannot read {self._name} to its end: {error}") from error

    def _open(self, source: str | Path | BinaryIO) -> io.BufferedIOBase:
        if not isinstance(source, str | Path):
            return cast("io.BufferedIOBase", source)
        if str(source) == STANDARD_INPUT:
            return cast("io.BufferedIOBase", sys.stdin.buffer)
        return self._closing.enter_context(open_path(source))

    def _records(self, stream: io.BufferedIOBase) -> Iterator[Record | Reject]:
        for item in islice(self._raw_records(stream), self._limit):
            if isinstance(item, Reject):
                yield item
                continue
            line, raw = item
            try:
                value, converted = parse(raw)
            except BadRecordError as error:
                yield reject_of(line, raw, error)
            else:
                self.converted += converted
                yield Record(line, raw, value)

    def _raw_records(self, stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes] | Reject]:
        number = 1
        head = stream.readline(MAX_RECORD + 2).removeprefix(_BOM)
        while head and not head.strip():
            number += head.endswith(b"\n")
            head = stream.readline(MAX_RECORD + 2)
        if not head.lstrip().startswith(b"["):
            return _lines(stream, head, number)
        array = head + stream.read(MAX_ARRAY - len(head) + 1)
        if len(array) > MAX_ARRAY:
            raise LifelongError(
                f"{self._name} is one JSON array of more than {MAX_ARRAY >> 20} MiB; give it as JSON lines, "
                "one record a line"
            )
        return _elements(array)


def open_path(path: str | Path) -> io.BufferedReader:
    """Open a file to read its bytes; raises UsageError with the reason where it cannot be."""
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot open {path}: {reason}") from error


class HashingStream(io.RawIOBase):
    """A stream that hashes what is read through it."""

    def __init__(self, inner: io.BufferedIOBase) -> None:
        self.digest = hashlib.sha256()
        self.at_end = False
        self._inner = inner

    @property
    def sha256(self) -> str | None:
        """Tagged hash of all that was read; None until the end was reached."""
        return tag(self.digest.digest()) if self.at_end else None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as much as `buffer` holds; 0 at the end."""
        block = self._inner.read1(len(buffer))
        self.digest.update(block)
        self.at_end = not block
        buffer[: len(block)] = block
        return len(block)


def _lines(stream: io.BufferedIOBase, first: bytes, number: int) -> Iterator[tuple[int, bytes] | Reject]:
    """The non-blank lines from `first` on, which is line `number`; one that is too long is skipped."""
    line = first
    while line:
        raw = line.removesuffix(b"\n")
        if len(raw.removesuffix(b"\r")) > MAX_RECORD:
            yield _skip_line(stream, line, number)
        elif raw.strip():
            yield number, raw
        line = stream.readline(MAX_RECORD + 2)
        number += 1


def _skip_line(stream: io.BufferedIOBase, start: bytes, number: int) -> Reject:
    digest = hashlib.sha256()
    length, part = 0, start
    while part:
        raw = part.removesuffix(b"\n")
        digest.update(raw)
        length += len(raw)
        part = b"" if raw != part else stream.readline(_BLOCK)
    return Reject(number, Code.TOO_LONG, _too_long(length), tag(digest.digest()), _excerpt(start))


def _elements(array: bytes) -> Iterator[tuple[int, bytes] | Reject]:
    """Cut a JSON array at the commas between its elements; each is checked and parsed by itself later."""
    depth, number, start, end = 0, 0, 0, None
    for token in _STRUCTURE.finditer(array):
        match array[token.start() : token.end()]:
            case b"[" | b"{":
                depth += 1
                if depth == 1:
                    start = token.end()
            case b"]" | b"}":
                depth -= 1
                if depth == 0:
                    end = token.start()
                    break
            case b"," if depth == 1:
                number += 1
                yield number, array[start : token.start()].strip()
                start = token.end()
    if last := array[start:end].strip():
        number += 1
        yield number, last
    elif number:
        number += 1
        yield reject_of(number, b"", BadRecordError(Code.NOT_JSON, "nothing stands behind the array's last comma"))
    if end is None:
        yield reject_of(number + 1, b"", BadRecordError(Code.NOT_JSON, "the array is not closed: the input was cut"))
    elif rest := array[end + 1 :].strip():
        yield reject_of(number + 1, rest, BadRecordError(Code.NOT_JSON, "something stands behind the array's end"))


def parse(raw: bytes) -> tuple[dict[str, Any], bool]:
    """One record's JSON object with its text in NFC, and whether that changed any; raises BadRecordError."""
    if len(raw) > MAX_RECORD + 1:  # a line may still end in a carriage return
        raise BadRecordError(Code.TOO_LONG, _too_long(len(raw)))
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BadRecordError(Code.TOO_DEEP, f"nested more than {MAX_DEPTH} deep")
    try:
        text = raw.decode("utf-8")
        value = _plain(text)
        if value is not None and text.isascii():
            return value, False
        if value is None:
            value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise BadRecordError(Code.NOT_UTF8, f"not valid UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise BadRecordError(Code.NOT_JSON, f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # Python refuses to read a number of thousands of digits
        raise BadRecordError(Code.NOT_JSON, "not JSON that can be read: a number has too many digits") from error
    if not isinstance(value, dict):
        raise BadRecordError(Code.NOT_AN_OBJECT, f"a record must be a JSON object, not {_KINDS[type(value)]}")
    # Only an escape can bring in NUL or a surrogate, and ASCII without escapes is in NFC.
    escaped = b"\\u" in raw
    if escaped and any(_FORBIDDEN.search(text) for text in _texts(value)):
        raise BadRecordError(Code.BAD_TEXT, "its text holds NUL or a lone surrogate")
    if not escaped and raw.isascii():
        return value, False
    normal = _to_nfc(value)
    return normal, normal != value


def _plain(text: str) -> dict[str, Any] | None:
    """The object that a record is, if that is plain: no escapes, no key twice, no number with a fraction; else None.

    Nearly every line is plain, and to look at the keys as they are decoded would take longer than to decode them. A
    plain text has two quotation marks for each of its strings, and a key that stood twice would leave some over.
    """
    if "\\" in text or not text.startswith("{"):
        return None
    value, end = _PLAIN_DECODER.raw_decode(text)
    plain = end == len(text) and type(value) is dict and text.count('"') == _quotation_marks(value)
    return value if plain else None


def _quotation_marks(value: Any) -> int:
    """How many a value has as JSON, without escapes; below zero for numbers, which may not be finite."""
    kind = type(value)
    if kind is str:
        return 2
    if kind is dict:
        return 2 * len(value) + sum(map(_quotation_marks, value.values()))
    if kind is list:
        return sum(map(_quotation_marks, value))
    return -MAX_RECORD if kind is float else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise BadRecordError(Code.DUPLICATE_KEY, f"the key {_quoted(twice)} stands twice in one object")
    return value


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _constant(text)


def _constant(text: str) -> NoReturn:
    raise BadRecordError(Code.NOT_FINITE, f"{_quoted(text)} is not a finite number")


_PLAIN_DECODER = json.JSONDecoder()
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
_KINDS = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _depth(raw: bytes) -> int:
    """How deep brackets outside strings are nested, found without parsing."""
    depth = deepest = 0
    for token in _STRUCTURE.finditer(raw):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                deepest = max(deepest, depth)
            case b"]" | b"}":
                depth -= 1
            case flat if flat[:1] == b"{":
                deepest = max(deepest, depth + 1)
    return deepest


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _to_nfc(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {key: _to_nfc(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_to_nfc(inner) for inner in value]
    return value


def reject_of(line: int, raw: bytes, error: BadRecordError) -> Reject:
    """The reject of the record at `line` with these bytes."""
    return Reject(line, error.code, error.reason, tag(hashlib.sha256(raw).digest()), _excerpt(raw))


def _excerpt(raw: bytes) -> str:
    return raw[: 4 * MAX_EXCERPT].decode("utf-8", errors="replace")[:MAX_EXCERPT]


def _quoted(text: str) -> str:
    return json.dumps(text[:MAX_EXCERPT])


def _too_long(length: int) -> str:
    return f"{length} bytes is more than the {MAX_RECORD} that a record may have"
