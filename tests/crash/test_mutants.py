"""Each guard earns its keep: with any one of them taken out of the source, a test turns red.

A mutant is one line of the source replaced by one that guards nothing, in a copy of the tree; the tests named beside it
must fail there. What each fsync is for is shown by the tests of power failures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Mutant(NamedTuple):
    """A piece of one module, what takes its place, and the tests that must notice."""

    file: str
    was: str
    becomes: str
    tests: str


TAMPER, CRASH = "tests/editlog/test_tamper.py", "tests/editlog/test_crash.py"
RACES, FENCE, WITNESS = "tests/editlog/test_races.py", "tests/editlog/test_fence.py", "tests/editlog/test_witness.py"
HEAD, REPLICA, RECOVER = "tests/editlog/test_head.py", "tests/editlog/test_replica.py", "tests/editlog/test_recover.py"
FALLBACK, INBOX = "tests/editlog/test_fallback.py", "tests/editlog/test_inbox.py"
APPEND = "tests/crash/test_append_power.py"
SCREENING = f"{TAMPER} tests/editlog/test_derivation.py"
PACK, HOSTILE, SNAPSHOT = (
    "tests/experts/test_pack.py",
    "tests/experts/test_hostile_packs.py",
    "tests/model/test_snapshot.py",
)
PIPES = f"{HOSTILE} --timeout=20"  # without its guard, reading one never ends

MUTANTS = {
    # Append-only tables, and that nobody has dropped what makes them so.
    "append-only triggers": Mutant(
        "editlog/migrations/m001_initial.py", 'for change in ("delete", "update")', "for change in ()", TAMPER
    ),
    "dropped triggers told": Mutant("editlog/schema.py", "return sorted(wanted - present)", "return []", TAMPER),
    # verify
    "verify: HEAD": Mutant("editlog/verify.py", "[*_head(directory, con), *_guards", "[*_guards", TAMPER),
    "verify: guards": Mutant("editlog/verify.py", "*_guards(con), ", "", TAMPER),
    "verify: chain": Mutant("editlog/verify.py", "*_chain(con), ", "", TAMPER),
    "verify: texts": Mutant("editlog/verify.py", "*_chain(con), *_texts(con)]", "*_chain(con)]", TAMPER),
    "verify: a missing event": Mutant("editlog/verify.py", "if seq > before + 1:", "if False:", TAMPER),
    "verify: an event's hash": Mutant("editlog/verify.py", "canonical)) != chained:", "canonical)) == b'':", TAMPER),
    "verify: canonical body": Mutant("editlog/verify.py", "if canonical != body.encode():", "if False:", TAMPER),
    "verify: commitment": Mutant("editlog/verify.py", "if not hmac.compare_digest(", "if False and (", TAMPER),
    "verify: digest and key": Mutant(
        "editlog/verify.py", 'Finding(seq, "text", f"the digest', 'Finding(None, "text", f"the digest', TAMPER
    ),
    # What DuckDB passes unseen
    "screening: an event's hash": Mutant(
        "editlog/derivation.py", " AND unhex({_LINK}) = hash, false)", ", false)", SCREENING
    ),
    "screening: a body as it is written": Mutant(
        "editlog/derivation.py",
        'AND NOT coalesce({_matches("body", _BODY)} AND unhex',
        "AND NOT coalesce(unhex",
        SCREENING,
    ),
    "screening: commitment": Mutant(
        "editlog/derivation.py",
        """ AND contains(body, '"{COMMITMENT_TAG}' || {_hmac("secret", _record())} || '"')""",
        "",
        SCREENING,
    ),
    "screening: digest": Mutant(
        "editlog/derivation.py",
        """AND unhex({_sha256(_blob(FACT_DOMAIN), _record("probes"))}) = digest AND""",
        "AND",
        SCREENING,
    ),
    "screening: key": Mutant("editlog/derivation.py", " AND {_KEY} = key, false)", ", false)", SCREENING),
    # HEAD and LENGTH
    "HEAD: its own check": Mutant("editlog/head.py", "if head.encode() != raw:", "if False:", HEAD),
    "HEAD: the log's end": Mutant(
        "editlog/head.py", "(candidate.seq, candidate.hash) == tail:", "(candidate.seq, candidate.hash):", HEAD
    ),
    "HEAD: announced before the commit": Mutant(
        "editlog/session.py", "        head.announce(self.directory, fresh)\n", "", CRASH
    ),
    "LENGTH: the file's length": Mutant(
        "editlog/length.py", "if known == seq and found != expected:", "if False:", TAMPER
    ),
    "healing before a write": Mutant("editlog/session.py", "        heal(directory)\n", "", CRASH),
    # One writer
    "the lock": Mutant("editlog/lock.py", "(fcntl.LOCK_SH if shared else fcntl.LOCK_EX)", "fcntl.LOCK_SH", RACES),
    "a lock file that is still named": Mutant(
        "editlog/lock.py",
        "if _try(descriptor, shared) and still_named(descriptor, path):",
        "if _try(descriptor, shared):",
        FENCE,
    ),
    "the fence on disk": Mutant(
        "editlog/session.py", "        fence(self.directory, self.head, self.held)\n", "", FENCE
    ),
    "the epoch in the database": Mutant("editlog/session.py", "if taken != (1,):", "if False:", f"{RACES} {FENCE}"),
    # What is elsewhere
    "witness: a log put back": Mutant("editlog/against.py", "    if beyond:", "    if False:", WITNESS),
    "witness: a chain written anew": Mutant("editlog/against.py", "if chained != head.hash:", "if False:", WITNESS),
    "replica: a segment's hash": Mutant("editlog/segments.py", "!= self.sha256:", "== b'':", REPLICA),
    "replica: not older than what was read": Mutant(
        "editlog/fallback.py", "if replica.manifest.seq < self._seen:", "if False:", FALLBACK
    ),
    "inbox: what was spooled": Mutant("editlog/inbox.py", "!= header.sha256 or", "== b'' or", INBOX),
    "inbox: exactly once": Mutant(
        "editlog/store.py", "if not inbox.is_drained(writer.con, header.spool):", "if True:", INBOX
    ),
    # Names that whoever made them has not made durable
    "a folder that was just made": Mutant("editlog/durable.py", "if any(directory.iterdir()):", "if True:", APPEND),
    "a file that was just made": Mutant("editlog/durable.py", "        if not end:\n", "        if False:\n", APPEND),
    "recover: the evidence": Mutant("editlog/recover.py", "        self._keep(found)\n", "", RECOVER),
    # What is served
    "pack: its bytes": Mutant(
        "lifelong/experts/pack.py", "if hashlib.sha256(content).hexdigest() != name:", "if False:", PACK
    ),
    "pack: its name": Mutant("lifelong/layout.py", "if not _PACK_NAME.fullmatch(name):", "if False:", PACK),
    "pack: finite values": Mutant("lifelong/experts/pack.py", "if not stack.has_values():", "if False:", HOSTILE),
    "pack: a regular file": Mutant(
        "lifelong/experts/pack.py", "if not stat.S_ISREG(found.st_mode):", "if found is None:", PIPES
    ),
    "pack: one slot an expert": Mutant(
        "lifelong/experts/table.py", "if len(set(hashes)) < len(hashes):", "if False:", HOSTILE
    ),
    "pack: canonical table": Mutant(
        "lifelong/experts/table.py", "if found.encode() != metadata[TABLE]:", "if False:", HOSTILE
    ),
    "snapshot: its files": Mutant(
        "lifelong/snapshots/snapshot.py", "file_sha256(directory / name) != digest", "not digest", SNAPSHOT
    ),
    "snapshot: its manifest": Mutant(
        "lifelong/snapshots/snapshot.py", "if _id_of(content) != snapshot_id:", "if False:", SNAPSHOT
    ),
    "snapshot: CURRENT": Mutant("lifelong/snapshots/snapshot.py", "if not _ID.fullmatch(text):", "if False:", SNAPSHOT),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_guard_stands_once_in_the_source(name: str) -> None:
    """A guard that has moved must be found again, or its mutant would show nothing."""
    mutant = MUTANTS[name]
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.was) == 1


@pytest.mark.crash
@pytest.mark.parametrize("name", MUTANTS)
def test_without_any_one_guard_a_test_turns_red(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    for part in ("editlog", "policies", "lifelong", "tests"):
        shutil.copytree(
            ROOT / part, tmp_path / part, copy_function=os.link, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / mutant.file
    source = path.read_text(encoding="utf-8")
    path.unlink()  # not through the link
    path.write_text(source.replace(mutant.was, mutant.becomes), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-m",
            "not crash",
            *mutant.tests.split(),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, f"no test misses this guard:\n{done.stdout[-2000:]}"
    red = next(line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR")))
    print(f"without {name}: {red[:160]}")
