"""One record's bytes to its JSON object: strict in what it takes, its text in NFC, held to limits of size and depth.

Nearly every record is plain, and orjson reads it in a fraction of what Python's own decoder takes. It is plain if
writing it again gives the same bytes but for white space, so that no key stood twice, no number lost a digit and no
escape hid a character. All others are read by Python, which also says what is wrong with them.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from editlog.rejects import MAX_EXCERPT, BadRecordError, Code

MAX_RECORD = 64 * 1024
MAX_DEPTH = 16

# Strings are matched so that brackets inside them are not counted; a flat object is one token, for speed.
_STRING = rb'"(?:[^"\\]++|\\.)*+'
STRUCTURE = re.compile(
    rb"\{(?:[^]{}[\"]++|" + _STRING + rb'")*+\}|' + _STRING + rb'"?|[]{}[,]',
    re.DOTALL,
)
"""The tokens of JSON that give it its structure."""

_WHITE = b" \t\r\n"
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def parse(raw: bytes) -> tuple[dict[str, Any], bool]:
    """One record's JSON object with its text in NFC, and whether that changed any; raises BadRecordError."""
    if len(raw) > MAX_RECORD + 1:  # a line may still end in a carriage return
        raise BadRecordError(Code.TOO_LONG, too_long(len(raw)))
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BadRecordError(Code.TOO_DEEP, f"nested more than {MAX_DEPTH} deep")
    plain = _plain(raw)
    if plain is not None:
        return plain, False
    value = _decoded(raw)
    # Only an escape can bring in NUL or a surrogate.
    if b"\\u" in raw and any(_FORBIDDEN.search(text) for text in _texts(value)):
        raise BadRecordError(Code.BAD_TEXT, "its text holds NUL or a lone surrogate")
    normal = _to_nfc(value)
    return normal, normal != value


def _plain(raw: bytes) -> dict[str, Any] | None:
    """The object that a record is, where nothing about it is in doubt; else None."""
    if b"\\" in raw and b"\\u" in raw:  # one byte is found in a tenth of the time of two
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or orjson.dumps(value).translate(None, _WHITE) != raw.translate(None, _WHITE):
        return None
    # What is in NFC as a whole is in NFC in each of its parts.
    return value if raw.isascii() or unicodedata.is_normalized("NFC", raw.decode()) else None


def _decoded(raw: bytes) -> dict[str, Any]:
    """The object that a record is; raises BadRecordError where it is none, or not one that can be taken."""
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecordError(Code.NOT_UTF8, f"not valid UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise BadRecordError(Code.NOT_JSON, f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # Python refuses to read a number of thousands of digits
        raise BadRecordError(Code.NOT_JSON, "not JSON that can be read: a number has too many digits") from error
    if not isinstance(value, dict):
        raise BadRecordError(Code.NOT_AN_OBJECT, f"a record must be a JSON object, not {_KINDS[type(value)]}")
    return value


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
    for token in STRUCTURE.finditer(raw):
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


def too_long(length: int) -> str:
    """The reason to reject a record of so many bytes."""
    return f"{length} bytes is more than the {MAX_RECORD} that a record may have"


def _quoted(text: str) -> str:
    return json.dumps(text[:MAX_EXCERPT])
