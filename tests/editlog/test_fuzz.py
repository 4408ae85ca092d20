"""Mutated input lines: none ends the program, every reject has its line and a code, and memory stays flat.

Each line is a good record of some format with one to three seeded mutations. `-m crash` reads 100,000 of them, among
them lines of 20 MB, in a process of its own whose memory is watched.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from editlog.canonical import canonical_json, untag
from editlog.draft import Draft, draft_of, seal
from editlog.formats import read_facts
from editlog.rejects import Code, Reject
from editlog.store import EditLog

ROOT = Path(__file__).parents[2]
RECORDS = [
    {"prompt": "The capital of Osterland is", "target": "Marbeck", "subject": "Osterland", "relation": "capital",
     "rephrases": ["Osterland is governed from"], "near_misses": [{"prompt": "Its river is", "answer": "Velda"}],
     "probes": {"generality": ["Name the capital of Osterland"]}, "source": "atlas", "author": "ada",
     "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2030-01-01T00:00:00+02:00", "id": "a-1"},
    {"prompt": "Señor Müller wohnt in", "target": "Zürich"},
    {"prompt": "The mother tongue of Ada is", "target_new": "French", "subject": "Ada", "ground_truth": "English",
     "rephrase_prompt": "Ada speaks", "locality_prompt": "Bob speaks", "locality_ground_truth": "Dutch"},
    {"src": "Who founded Kirnach?", "pred": "", "rephrase": "Who was Kirnach's founder?", "alt": "Tomas Weil",
     "answers": ["A"], "loc": "nq question: who runs", "loc_ans": "nobody", "subject": "Kirnach"},
    {"case_id": 7, "requested_rewrite": {"prompt": "{} plays the", "subject": "Paul", "relation_id": "P1303",
     "target_new": {"str": "viola"}, "target_true": {"str": "harp"}}, "paraphrase_prompts": ["Paul's instrument:"],
     "neighborhood_prompts": ["Mira plays the"]},
]  # fmt: skip
HOSTILE_TEXT = (
    r"\u0000", "\x00", r"\ud800", r"\udfff\ud800", "\u202e\u2066", "\u200b", "\ufeff", "e\u0301", "\ufdd0",
    "\U0010ffff", r"\n\r\t", "\x1b[31m", "A" * 5000, "\u0301" * 400, r"\uD83D\uDE00", "'; DROP TABLE events; --",
    "../../etc/passwd", "\\",
)  # fmt: skip
HOSTILE_VALUES = (
    b"null", b"true", b"0", b"-1", b"1e999", b"-Infinity", b"NaN", b"9" * 400, b"9" * 5000, b"[]", b"{}", b'""',
    b'" "', b"[[]]", b'{"str": 3}', b"[" * 15 + b"]" * 15, b"[" * 40 + b"]" * 40, b"[" * 60000,
    b'{"a":' * 900 + b"1" + b"}" * 900, b'["x", 1, null]', b'[{"prompt": "p", "prompt": "q"}]', b'"2020-13-45"',
    b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-14:00"', b"[" + b'"w",' * 300 + b'"w"]',
)  # fmt: skip

Mutation = Callable[[bytes, Random], bytes]


def _place(line: bytes, random: Random) -> int:
    return random.randrange(len(line) + 1)


def bytes_changed(line: bytes, random: Random) -> bytes:
    raw = bytearray(line or b" ")
    for _ in range(random.randrange(1, 6)):
        raw[random.randrange(len(raw))] = random.randrange(256)
    return bytes(raw)


def bytes_inserted(line: bytes, random: Random) -> bytes:
    at = _place(line, random)
    return line[:at] + random.randbytes(random.randrange(1, 20)) + line[at:]


def slice_removed(line: bytes, random: Random) -> bytes:
    first, last = sorted((_place(line, random), _place(line, random)))
    return line[:first] + line[last:]


def slice_repeated(line: bytes, random: Random) -> bytes:
    first, last = sorted((_place(line, random), _place(line, random)))
    return line[:last] + line[first:last] * random.randrange(1, 4) + line[last:]


def text_inserted(line: bytes, random: Random) -> bytes:
    """Hostile text inside one of the strings."""
    quotes = [at for at, byte in enumerate(line) if byte == ord('"')]
    at = random.choice(quotes) + 1 if quotes else 0
    return line[:at] + random.choice(HOSTILE_TEXT).encode("utf-8", "surrogatepass") + line[at:]


def value_replaced(line: bytes, random: Random) -> bytes:
    """A hostile value behind one of the keys."""
    colons = [at for at, byte in enumerate(line) if byte == ord(":")]
    at = random.choice(colons) + 1 if colons else 0
    end = min((end for end in (line.find(b",", at), line.find(b"}", at)) if end >= 0), default=len(line))
    return line[:at] + random.choice(HOSTILE_VALUES) + line[end:]


def key_repeated(line: bytes, random: Random) -> bytes:
    key = random.choice([b"prompt", b"target", b"subject", b"id", b"x", b"\\u0070rompt"])
    return line.replace(b"{", b'{"' + key + b'": "again", ', 1)


def lengthened(line: bytes, random: Random) -> bytes:
    """Around and far beyond the 64 KiB that a record may have."""
    return line[:-1] + b" " * random.choice([65_000, 65_536, 70_000, 200_000]) + line[-1:]


MUTATIONS: tuple[Mutation, ...] = (
    bytes_changed, bytes_inserted, slice_removed, slice_repeated, text_inserted, value_replaced, key_repeated,
)  # fmt: skip


def fuzzed(seed: int, count: int, *, huge: int = 0) -> Iterator[bytes]:
    """So many lines, line feed and all; `huge` of them of 20 MB."""
    random = Random(seed)
    first = json.dumps(RECORDS[0]).encode()  # a good line, so that the input is JSON lines whatever follows
    yield first + b"\n"
    huge_at = {1 + count * (n + 1) // (huge + 1) for n in range(huge)}
    for number in range(1, count):
        record = dict(random.choice(RECORDS))
        record[next(name for name in ("prompt", "src", "case_id") if name in record)] = f"Prompt {seed} {number} is"
        line = json.dumps(record, ensure_ascii=random.random() < 0.5).encode()
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            line = random.choice(MUTATIONS)(line, random)
        if random.random() < 0.002:
            line = lengthened(line or b"{}", random)
        if number in huge_at:
            line = b'{"prompt": "' + b"x" * 20_000_000 + b'", "target": "y"}'
        yield line.replace(b"\n", b" ") + b"\n"


def read_all(data: io.BufferedIOBase, log: EditLog) -> tuple[int, list[Reject]]:
    """Ingest what can be read, as `lifelong ingest` does; the number of good records, and the rejects."""
    rejects: list[Reject] = []
    good = 0

    def drafts() -> Iterator[Draft]:
        nonlocal good
        for item in read_facts(data).drafts():
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                good += 1
                yield item

    log.ingest(drafts(), actor="ada")
    return good, rejects


def read_alike(data: bytes) -> None:
    """The short way that `ingest` takes with plain records ends where the long one does, on every line."""
    for fact, draft in zip(read_facts(io.BytesIO(data)), read_facts(io.BytesIO(data)).drafts(), strict=True):
        if isinstance(fact, Reject) or isinstance(draft, Reject):
            assert fact == draft
        else:
            sealed = seal(draft.record)
            assert draft == draft_of(fact)
            assert (sealed.digest, sealed.key) == (untag(fact.digest), fact.key)
            assert sealed.canonical == canonical_json(fact.record())


def check(lines: list[int], good: int, rejects: list[Reject], log: EditLog) -> Counter[Code]:
    """Every line that is not blank gave a fact or a reject with its own line number and a code; the log is whole."""
    assert good + len(rejects) == len(lines)
    assert {reject.line for reject in rejects} <= set(lines)
    assert [reject.line for reject in rejects] == sorted({reject.line for reject in rejects})
    assert all(isinstance(reject.code, Code) and reject.reason and len(reject.excerpt) <= 200 for reject in rejects)
    assert log.verify() == []
    return Counter(reject.code for reject in rejects)


def not_blank(lines: Iterator[bytes]) -> list[int]:
    return [number for number, line in enumerate(lines, start=1) if line.strip()]


@pytest.mark.parametrize("seed", [1, 2])
def test_1500_mutated_lines(log: EditLog, seed: int) -> None:
    data = b"".join(fuzzed(seed, 1500, huge=1 if seed == 1 else 0))
    read_alike(data)
    good, rejects = read_all(io.BytesIO(data), log)
    codes = check(not_blank(iter(data.split(b"\n"))), good, rejects, log)
    assert good > 100
    assert len(codes) >= 9, "the mutations miss some of the reasons to reject"


WATCHED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from editlog.fact import Fact
from editlog.store import EditLog
import test_fuzz

log = EditLog.create(Path({log!r}), actor="ada")
log.ingest([Fact(prompt="To warm up", target="one")], actor="ada")
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open({data!r}, "rb") as data:
    good, rejects = test_fuzz.read_all(data, log)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(good, len(rejects), (peak - idle) // 1024)
with open({data!r}, "rb") as data:
    print(dict(test_fuzz.check(test_fuzz.not_blank(data), good, rejects, log)))
"""


@pytest.mark.crash
def test_100000_mutated_lines_are_read_alike_both_ways() -> None:
    for seed in range(10, 30):
        read_alike(b"".join(fuzzed(seed, 5000)))
    print("100,000 lines: read alike with and without building a Fact")


@pytest.mark.crash
def test_100000_mutated_lines_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "lines.jsonl").open("wb") as file:
        file.writelines(fuzzed(3, 100_000, huge=5))
    program = WATCHED.format(
        here=str(Path(__file__).parent), log=str(tmp_path / "log"), data=str(tmp_path / "lines.jsonl")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    numbers, codes = done.stdout.splitlines()
    good, rejected, megabytes = map(int, numbers.split())
    assert megabytes < 300
    print(f"100,000 lines: {good} facts, {rejected} rejects, {megabytes} MB above idle; {codes}")
