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
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from editlog.canonical import tag
from editlog.compressed import FAILURES, unpacked
from editlog.errors import LifelongError, UsageError
from editlog.parsing import MAX_RECORD, STRUCTURE, parse, too_long
from editlog.rejects import BadRecordError, Code, Reject, excerpt_of, reject_of

MAX_ARRAY = 256 * 1024 * 1024

STANDARD_INPUT = "-"

_BOM = b"\xef\xbb\xbf"
_BLOCK = 1024 * 1024


class Record(NamedTuple):
    """One record that holds to the limits: its place (see `Reject.line`), its bytes, its JSON object."""

    line: int
    raw: bytes
    value: dict[str, Any]

    def reject(self, error: BadRecordError) -> Reject:
        """The reject for a record that is good JSON, but not a fact."""
        return reject_of(self.line, self.raw, error)


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
    return Reject(number, Code.TOO_LONG, too_long(length), tag(digest.digest()), excerpt_of(start))


def _elements(array: bytes) -> Iterator[tuple[int, bytes] | Reject]:
    """Cut a JSON array at the commas between its elements; each is checked and parsed by itself later."""
    depth, number, start, end = 0, 0, 0, None
    for token in STRUCTURE.finditer(array):
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
