"""The views say what the folds say, whatever happened to the log; and docs/QUERIES.md says what the views do."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from editlog.events import Entry
from editlog.fact import Fact
from editlog.session import reading
from editlog.store import EditLog
from editlog.views import NAMES, over_views

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "QUERIES.md"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def asked(log: EditLog, query: str, as_of: int) -> list[tuple]:
    with reading(log.directory, timeout=10.0) as (con, _):
        return con.execute(over_views(query, as_of, NOW)).fetchall()


def live(log: EditLog, rng: random.Random) -> None:
    """Thirty things that happen to a few keys and experts, in an order that nobody planned."""
    experts = [f"sha256:{number:064x}" for number in range(4)]
    for step in range(30):
        seqs = [fact.seq for fact in log.facts()]
        chosen = rng.sample(seqs, min(len(seqs), rng.randint(1, 3)))
        match rng.choice(["put", "put", "apply", "apply", "fail", "hold", "approve", "retract", "retire"]):
            case "put":
                fact = Fact(prompt=f"Prompt {rng.randint(1, 3)} is", target=f"target {step}")
                log.ingest([fact], actor=rng.choice(["ada", "eva"]))
            case "apply" if seqs:
                moved = rng.choice([{}, {"job": "job-0"}])  # as a merge says it
                carried = [{"fact": seq, "expert": rng.choice(experts), **moved} for seq in chosen]
                log.append([Entry("facts.applied", {"facts": carried, "pack": "ab"})], actor="night", job=f"job-{step}")
            case "fail" if seqs:
                failed = [{"fact": seq, "reason": "not-answered: no"} for seq in chosen]
                log.append([Entry("facts.failed", {"facts": failed})], actor="night", job=f"job-{step}")
            case "hold" if seqs:
                held = [{"fact": seq, "reason": "spoils-others: yes"} for seq in chosen]
                log.append([Entry("facts.held", {"facts": held})], actor="night", job=f"job-{step}")
            case "approve":
                log.approve([fact.ref for fact in log.facts() if fact.status == "held"][:1], actor="bob")
            case "retract":
                standing = [fact.ref for fact in log.facts() if fact.retracted_by is None]
                log.retract(standing and [rng.choice(standing)], actor="bob", reason="wrong")
            case "retire":
                log.append([Entry("experts.retired", {"experts": [rng.choice(experts)]})], actor="night")


@pytest.mark.parametrize("seed", range(2))
def test_the_views_are_the_folds_and_an_answer_lasts_from_event_to_event(log: EditLog, seed: int) -> None:
    live(log, random.Random(seed))
    head = log.head().seq
    for as_of in {head, head // 2, head // 3}:
        expected = [
            (f.ref, f.status, f.governs, f.superseded_by and f"f{f.superseded_by}", f.expert, f.job, f.why)
            for f in log.facts(as_of=as_of)
        ]
        columns = "fact, status, governs, superseded_by, expert, job, why"
        assert asked(log, f"SELECT {columns} FROM facts ORDER BY seq", as_of) == expected
    spans = asked(log, "SELECT fact, expert, from_seq, to_seq FROM answers", head)
    for as_of in range(1, head + 1, 5):
        newest: dict[str, tuple[str, str]] = {}
        for fact in log.facts(as_of=as_of):
            if fact.retracted_by is None and fact.expert:
                newest[fact.fact.key] = (fact.ref, fact.expert)
        told = {(fact, expert) for fact, expert, first, last in spans if first <= as_of < (last or head + 1)}
        assert told == set(newest.values())


def test_every_query_of_the_page_gives_what_stands_behind_it(tmp_path: Path) -> None:
    words = [sys.executable, "scripts/query_reference.py", str(PAGE), str(tmp_path / "QUERIES.md")]
    subprocess.run(words, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```sql") >= 20
    assert page == (tmp_path / "QUERIES.md").read_text(encoding="utf-8"), "run `make docs`"


def test_the_page_names_every_view_and_column(log: EditLog) -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = {view: set(re.findall(r"`(\w+)`", columns)) for view, columns in rows}
    assert set(documented) == set(NAMES)
    for view in set(NAMES) - {"responses"}:
        with reading(log.directory, timeout=10.0) as (con, _):
            result = con.execute(over_views(f"SELECT * FROM {view} LIMIT 0", 1, NOW))
            columns = {name for name, *_ in result.description or ()}
        assert documented[view] == columns, view
