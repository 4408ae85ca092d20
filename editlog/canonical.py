"""Canonical JSON, tagged hashes and salted commitments: the bytes that everything else is a hash of.

This is a documented contract (docs/FORMAT.md): to change it is to change every hash in every log.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

import orjson

HASH_TAG = "sha256:"
COMMITMENT_TAG = "hmac-sha256:"
KEY_BYTES = 32

COMMITMENT_DOMAIN = b"lifelong/commitment/v1\x00"
HMAC_BLOCK = 64
HMAC_INNER, HMAC_OUTER = 0x36, 0x5C
_INNER = bytes(byte ^ HMAC_INNER for byte in range(256))
_OUTER = bytes(byte ^ HMAC_OUTER for byte in range(256))
_INNER_REST = bytes([HMAC_INNER]) * (HMAC_BLOCK - KEY_BYTES) + COMMITMENT_DOMAIN
_OUTER_REST = bytes([HMAC_OUTER]) * (HMAC_BLOCK - KEY_BYTES)
_TAGGED = re.compile(re.escape(HASH_TAG) + r"[0-9a-f]{64}")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no text of the log may hold: Unicode's categories Cc and Cs, without line feed and tab."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Encode as UTF-8 JSON with sorted keys and no white space.

    Raises ValueError on NaN, infinity and lone surrogates, TypeError on what JSON cannot say.
    """
    return _ENCODER.encode(value).encode("utf-8")


def canonical_words(value: Any) -> bytes:
    """`canonical_json` of what holds objects, arrays and texts alone, in a tenth of the time.

    Numbers are not for it: it writes some fractions with other digits. Raises TypeError on lone surrogates.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def sha256(*parts: bytes) -> bytes:
    """Digest of the concatenated parts, 32 raw bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def tag(raw: bytes) -> str:
    """Write a raw digest with the name of its algorithm, so that a later change of algorithm can be told."""
    return HASH_TAG + raw.hex()


def untag(text: str) -> bytes:
    """Read a tagged digest back; raises ValueError for any other algorithm, length or alphabet."""
    if not _TAGGED.fullmatch(text):
        raise ValueError(f"not a {HASH_TAG}<64 hex digits> hash: {text[:80]!r}")
    return bytes.fromhex(text.removeprefix(HASH_TAG))


def commitment(key: bytes, record: bytes) -> str:
    """Bind an event to a text it does not contain: with the key erased, the text cannot be guessed back."""
    return COMMITMENT_TAG + seal_of(key, record).hex()


def seal_of(key: bytes, record: bytes) -> bytes:
    """The 32 raw bytes of a commitment; `key` has 32 bytes, and one of another size opens none."""
    # HMAC as RFC 2104 has it: `hmac.digest` sets OpenSSL up anew for each key, and takes twice as long.
    inner = hashlib.sha256(key.translate(_INNER) + _INNER_REST + record).digest()
    return hashlib.sha256(key.translate(_OUTER) + _OUTER_REST + inner).digest()


def fold(text: str) -> str:
    """The form in which names are compared: NFKC, case folded, runs of white space as one space."""
    if not text.isascii():  # ASCII is in NFKC
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
