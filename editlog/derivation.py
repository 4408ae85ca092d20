"""Derivation in bulk: DuckDB derives every hash again, and lists the rows whose bytes are not what is stored.

What passes here is plainly as it was written: its canonical JSON was put together from its columns, and hashes to
what is stored. What is listed is not wrong for that. It may only be out of the ordinary (a letter that folds in an
uncommon way, the body of a rare kind of event), and `verify` looks at it in Python. So SQL spells out what nearly all
rows look like, and where it spells something otherwise than `canonical_json` does, the row takes the longer way.

Each query takes the first and the last seq of a window, so that a log of any length is gone through in flat memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from editlog.canonical import COMMITMENT_DOMAIN, COMMITMENT_TAG, HMAC_BLOCK, HMAC_INNER, HMAC_OUTER, KEY_BYTES
from editlog.events import CHAIN_DOMAIN, GENESIS
from editlog.fact import FACT_DOMAIN
from editlog.history import EVENT_COLUMNS
from editlog.texts import COLUMNS

_SEQ = "[1-9][0-9]*"
PUT = (
    rf'\{{"batch":{_SEQ},"commitment":"({COMMITMENT_TAG}[0-9a-f]{{64}})",'
    rf'"reasserts":(?:null|{_SEQ}),"supersedes":(?:null|{_SEQ})\}}'
)
"""The body of a fact.put as writers write it: what matches is canonical JSON. Its group is the commitment."""

_APPLIED = rf'\{{"expert":"sha256:[0-9a-f]{{64}}","fact":{_SEQ}\}}'
_BODY = rf'{PUT}|\{{"facts":\[{_APPLIED}(?:,{_APPLIED})*\](?:,"pack":"[0-9a-f]{{64}}")?\}}'

_STRING = r'"(?:[^"\\\x00-\x1f]|\\["\\nt])*"'
_STRINGS = rf"\[{_STRING}(?:,{_STRING})*\]"
_PROMPT = rf'\{{(?:"answer":{_STRING},)?"prompt":{_STRING}\}}'
_PROMPTS = rf"\[{_PROMPT}(?:,{_PROMPT})*\]"
_PROBES = "|".join(
    rf'\{{"{first}":{_PROMPTS}' + "".join(rf'(?:,"{name}":{_PROMPTS})?' for name in rest) + r"\}"
    for first, *rest in (
        ("generality", "locality", "portability"),
        ("locality", "portability"),
        ("portability",),
    )
)
_MORE = rf'\{{"rephrases":{_STRINGS}\}}|\{{"near_misses":{_PROMPTS}\}}'
# Letters whose lower case is all there is to folding them: of ASCII, Latin, Cyrillic, kana, Chinese and Korean.
PLAIN = "!-~À-Þà-įĴ-ľŁ-ňŊ-žЀ-џぁ-ゖァ-ヺ一-鿿가-힣"
PLAIN_WORDS = f"[{PLAIN}]+(?: [{PLAIN}]+)*"
"""What folding makes lower case, and leaves as it is otherwise."""


def _matches(column: str, pattern: str) -> str:
    return f"regexp_full_match({column}, '{pattern}')"


def _json(column: str) -> str:
    return f"coalesce(to_json({column})::VARCHAR, 'null')"


def _blob(raw: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02x}" for byte in raw) + "'::BLOB"


def _sha256(*parts: str) -> str:
    """The digest of bytes, in hex."""
    return f"sha256({' || '.join(parts)})"


def _hmac(secret: str, message: str) -> str:
    """HMAC in hex, as RFC 2104 has it: exclusive or with two paddings, hash in hash; NULL for an odd secret."""

    def padded(pad: int) -> str:
        bits = f"{pad:08b}"
        rest = bytes([pad]) * (HMAC_BLOCK - KEY_BYTES)
        whole = f"CASE WHEN octet_length({secret}) = {KEY_BYTES} THEN {secret} END"  # of other sizes there is no XOR
        return f"xor(({whole})::BIT, '{bits * KEY_BYTES}'::BIT)::BLOB || {_blob(rest)}"

    inner = _sha256(padded(HMAC_INNER), _blob(COMMITMENT_DOMAIN), message)
    return _sha256(padded(HMAC_OUTER), f"unhex({inner})")


_BEFORE = "lag(seq::HUGEINT, 1, 0) OVER (ORDER BY seq)"
ORDER = f"SELECT seq, before FROM (SELECT seq, {_BEFORE} AS before FROM events) WHERE seq <> before + 1 ORDER BY seq"
"""The seq of each event that is not the next one after the event before it, and the seq of that one (0: none)."""

_EVENT = f"""encode(concat(
    '{{"actor":', {_json("actor")}, ',"at":"', strftime(recorded_at, '%Y-%m-%dT%H:%M:%S.%f'), 'Z","body":', body,
    ',"job":', {_json("job")}, ',"kind":', {_json("kind")}, ',"reason":', {_json("reason")},
    ',"seq":', seq, ',"v":1}}'))"""
_LINK = _sha256(_blob(CHAIN_DOMAIN), "previous", _EVENT)

EVENTS = f"""
    SELECT {EVENT_COLUMNS}, previous FROM (
        SELECT *, lag(hash, 1, {_blob(GENESIS)}) OVER (ORDER BY seq) AS previous, {_BEFORE} AS before
        FROM events WHERE seq BETWEEN $1 - 1 AND $2)
    WHERE seq >= $1 AND seq = before + 1
        AND NOT coalesce({_matches("body", _BODY)} AND unhex({_LINK}) = hash, false)
    ORDER BY seq"""
"""Events that do not plainly follow from the one before: their row, then the stored hash of that one."""


def _member(name: str) -> str:
    """A member of a record, NULL where the record does not have it."""
    return f"""'"{name}":' || to_json({name})::VARCHAR"""


def _moment(name: str) -> str:
    whole = "'%Y-%m-%dT%H:%M:%SZ'"
    return f"""'"{name}":"' || CASE WHEN microsecond({name}) % 1000000 = 0 THEN strftime({name}, {whole})
        ELSE strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ') END || '"'"""


def _list(name: str) -> str:
    return f"""CASE WHEN starts_with(more, '{{"{name}":') THEN substr(more, 2, length(more) - 2) END"""


_MEMBERS: Mapping[str, str] = {
    **{name: _member(name) for name in ("author", "id", "prompt", "relation", "source", "subject", "target")},
    **{name: _list(name) for name in ("near_misses", "rephrases")},
    **{name: _moment(name) for name in ("valid_from", "valid_to")},
    "probes": "'\"probes\":' || probes",
}


def _record(*left_out: str) -> str:
    members = ", ".join(_MEMBERS[name] for name in sorted(_MEMBERS) if name not in left_out)
    return f"encode('{{' || concat_ws(',', {members}) || '}}')"


def _folded(column: str) -> str:
    """The words folded; NULL where lower case alone would not do, or white space were to be folded."""
    return f"CASE WHEN {_matches(column, PLAIN_WORDS)} THEN lower({column}) END"


_KEY = f"""CASE WHEN subject <> '' AND relation <> '' THEN
    'sr' || chr(31) || {_folded("subject")} || chr(31) || {_folded("relation")}
    ELSE 'p' || chr(31) || {_folded("prompt")} END"""

TEXTS = f"""
    SELECT seq, body, known, secret, digest, key, probes, {", ".join(COLUMNS)}
    FROM (SELECT seq, body FROM events WHERE kind = 'fact.put' AND seq BETWEEN $1 AND $2)
    LEFT JOIN (SELECT *, seq AS known FROM texts WHERE seq BETWEEN $1 AND $2) USING (seq)
    WHERE NOT coalesce(
        prompt IS NOT NULL
        AND (more IS NULL OR {_matches("more", _MORE)}) AND (probes IS NULL OR {_matches("probes", _PROBES)})
        AND {_matches("body", PUT)} AND contains(body, '"{COMMITMENT_TAG}' || {_hmac("secret", _record())} || '"')
        AND unhex({_sha256(_blob(FACT_DOMAIN), _record("probes"))}) = digest AND {_KEY} = key, false)
    ORDER BY seq"""
"""Facts whose words do not plainly open their commitment, or give another digest or key: what `verify` asks of them."""
