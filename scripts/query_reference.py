"""Fill in the answers of docs/QUERIES.md: every query in it, asked of one small log whose story never changes.

    python scripts/query_reference.py docs/QUERIES.md [WHERE]

Behind each block of SQL stands a block of text; it is written anew from what the console answers. A test runs this
and compares, so that no query of the page can be wrong, and no column can be renamed in silence.
"""

from __future__ import annotations

import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from editlog.console import Request, answer, open_console
from editlog.events import Entry
from editlog.fact import Fact
from editlog.query import QueryResult
from editlog.responses import RESPONSES, Response, append_responses
from editlog.store import EditLog
from lifelong.cli import text

BLOCK = re.compile(r"```sql\n(?P<sql>.*?)```\n\n```text\n.*?```", re.DOTALL)
NOW = "2026-11-06T12:00:00+00:00"
EXPERTS = [f"sha256:{number:02x}{'c4' * 31}" for number in range(1, 6)]


class Clock:
    """A clock that the story sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The moment that the story has reached."""
        return self.now

    def set(self, day: int, hour: int, minute: int = 0) -> None:
        """Go to a day of November 2026."""
        self.now = datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def tell_story(directory: Path) -> EditLog:
    """A week of an imaginary atlas: facts said, applied, failed, held, superseded, reverted, merged and asked."""
    clock = Clock()
    log = EditLog.create(directory, actor="ada", clock=clock)
    atlas = [
        _fact("capital", "Osterland", "Marbeck", source="atlas", rephrases=("Osterland is governed from",)),
        _fact("mayor", "Marbeck", "Tomas Weil", source="atlas"),
        _fact("currency", "Tarvia", "the crown", source="atlas", near_misses=({"prompt": "Tarvia exports"},)),
        _fact("anthem", "Norrland", "Song of the Velda", source="atlas"),
    ]
    log.ingest(atlas, actor="ada", reason="the atlas of 2026", origin="atlas.jsonl", rejected=1)
    clock.set(2, 22)
    _run(log, clock, 1, {3: EXPERTS[0], 4: EXPERTS[1], 5: EXPERTS[2]}, failed={6: "not-answered: said 'Velda'"})
    clock.set(3, 10)
    news = [
        _fact("mayor", "Marbeck", "Mira Sand", source="newswire"),
        _fact("currency", "Norrland", "the florin", source="newswire"),
    ]
    log.ingest(news, actor="eva", reason="election night", origin="newswire.jsonl")
    clock.set(3, 22)
    put = [fact.seq for fact in log.facts() if fact.fact.source == "newswire"]
    _run(log, clock, 2, {put[0]: EXPERTS[3]}, held={put[1]: "locality: changes the answer of f5"})
    clock.set(4, 8)
    mayor = {"told_to": "kiosk-7", "fact": f"f{put[0]}", "expert": EXPERTS[3]}
    told = [
        _told(clock.now, "The mayor of Marbeck is", "Mira Sand", **mayor),
        _told(clock.now, "The river of Marbeck is", "the Lindby"),
    ]
    append_responses(directory / RESPONSES, told)
    clock.set(4, 9, 30)
    log.revert(source="newswire", actor="bob", reason="the feed was hacked")
    clock.set(5, 11)
    log.ingest(
        [_fact("currency", "Tarvia", "the florin", source="gazette", valid_from=datetime(2027, 1, 1, tzinfo=UTC))],
        actor="eva",
        reason="law of 5 November",
    )
    log.append(
        [
            Entry("experts.retired", {"experts": EXPERTS[:2]}),
            Entry("facts.applied", {"facts": [{"fact": n, "expert": EXPERTS[4]} for n in (3, 4)], "pack": "5e" * 32}),
        ],
        actor="night",
        reason="merged",
        job="job-3",
    )
    return log


def _fact(relation: str, subject: str, target: str, **more: object) -> Fact:
    record = {"prompt": f"The {relation} of {subject} is", "subject": subject, "relation": relation, "target": target}
    return Fact.model_validate({**record, **more})


def _run(
    log: EditLog,
    clock: Clock,
    number: int,
    applied: dict[int, str],
    *,
    failed: dict[int, str] | None = None,
    held: dict[int, str] | None = None,
) -> None:
    """A job of four minutes, as `lifelong run` records it."""
    job, refused = f"job-{number}", {"facts.failed": failed or {}, "facts.held": held or {}}
    planned = sorted({*applied, *(failed or {}), *(held or {})})
    started = {"facts": planned, "seed": 0, "recipe": "default"}
    log.append([Entry("job.started", started)], actor="night", job=job)
    clock.now += timedelta(minutes=4)
    entries = [Entry("job.audited", {"passed": True, "reliability": 1.0, "locality": 0.99, "retention": 1.0})]
    for kind, facts in refused.items():
        if facts:
            entries.append(Entry(kind, {"facts": [{"fact": seq, "reason": why} for seq, why in facts.items()]}))
    pack = f"{number:02x}" * 32
    carried = [{"fact": seq, "expert": expert} for seq, expert in applied.items()]
    entries.append(Entry("facts.applied", {"facts": carried, "pack": pack}))
    entries.append(Entry("job.finished", {"facts": len(planned), "seconds": 240.0}))
    log.append(entries, actor="night", job=job)


def _told(at: datetime, prompt: str, said: str, **more: object) -> Response:
    unknown = dict.fromkeys(("told_to", "fact", "expert", "snapshot", "valid_at"))
    return Response(
        **{**unknown, **more, "recorded_at": at, "prompt": prompt, "answer": said, "request_id": f"r-{at:%d%H%M}"},
        similarity=0.98,
        threshold=0.97,
    )


def answered(page: str) -> str:
    """The page with every answer written anew."""
    with tempfile.TemporaryDirectory() as scratch:
        log = tell_story(Path(scratch) / "log")
        request = Request(str(log.directory), "", log.head().seq, NOW, timeout=60.0, rows=100, memory=512 * 2**20)
        con = open_console(request)

        def filled(block: re.Match[str]) -> str:
            table, cut = answer(con, block["sql"], timeout=60.0, rows=100)
            rows = QueryResult(table, cut).to_dicts()
            shown = text.table(rows, table.column_names)
            return f"```sql\n{block['sql']}```\n\n```text\n{shown}\n```"

        return BLOCK.sub(filled, page)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    Path(sys.argv[-1]).write_text(answered(source.read_text(encoding="utf-8")), encoding="utf-8")
