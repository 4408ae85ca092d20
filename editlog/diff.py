"""What changed between two positions of the log: facts, jobs, and the answers that come of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from editlog.errors import UsageError
from editlog.events import moment
from editlog.inquiry import inquire
from editlog.position import AsOf, Position
from editlog.reader import Reader

_BETWEEN = "seq > $1 AND seq <= $2 ORDER BY seq"
_SECTIONS = {
    "added": "SELECT fact, recorded_at, actor, reason, prompt, target, source, author, status FROM facts",
    "superseded": "SELECT supersedes AS fact, recorded_at, actor, reason, prompt, was, is_now, fact AS superseded_by"
    " FROM supersessions",
    "retracted": "SELECT fact, recorded_at, actor, reason, prompt, target, revert FROM retractions",
    "redacted": "SELECT fact, recorded_at, actor, reason FROM redactions",
    "outcomes": "SELECT fact, recorded_at, job, prompt, target, outcome, expert, why FROM outcomes",
}
_JOBS = "SELECT * FROM jobs WHERE started_seq <= $2 AND (ended_seq IS NULL OR ended_seq > $1) ORDER BY started_seq"
# Every key that was ever answered by an expert, with the fact that does so here; none where it is the base again.
_ANSWERS = """
    SELECT a.key, 'f' || a.fact AS fact, p.prompt, p.target, e.seq, e.recorded_at, e.kind, e.actor, e.reason, e.job
    FROM _told AS a LEFT JOIN _puts AS p ON p.seq = a.fact JOIN events AS e ON e.seq = a.from_seq
    WHERE a.to_seq IS NULL"""


@dataclass(frozen=True)
class LogDiff:
    """What changed after event `from_seq`, up to and including `to_seq`; lists of plain data, in log order.

    `answers` are the keys whose answer differs: `prompt`, `was` and `is_now` with their facts (null: the base model
    answers), and `by`, the event that made it so; null where nothing did but that a fact's time had come or gone.
    """

    from_seq: int
    from_at: str
    to_seq: int
    to_at: str
    added: list[dict[str, Any]]
    superseded: list[dict[str, Any]]
    retracted: list[dict[str, Any]]
    redacted: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    answers: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Every change as one row: `change` says in which list it stands, its own fields follow."""
        return [{"change": name, **row} for name in (*_SECTIONS, "jobs", "answers") for row in getattr(self, name)]


def diff(log: Reader, first: AsOf, last: AsOf | None = None, *, valid_at: datetime | None = None) -> LogDiff:
    """What changed between two positions (an event's number, a job's end or a moment; None: now).

    The answers are those of each position's own moment in the world, unless `valid_at` (aware) names one for both.
    Raises UsageError where a position is not there, or the first lies behind the last.
    """
    begin, end = log.position(first), log.position(last)
    if begin.seq > end.seq:
        raise UsageError(f"event {begin.seq} lies behind event {end.seq}: name the earlier one first")
    span = [begin.seq, end.seq]
    sections = {
        name: inquire(log, f"{query} WHERE {_BETWEEN}", span, as_of=end.seq) for name, query in _SECTIONS.items()
    }
    return LogDiff(
        from_seq=begin.seq,
        from_at=moment(begin.at),
        to_seq=end.seq,
        to_at=moment(end.at),
        **sections,
        jobs=inquire(log, _JOBS, span, as_of=end.seq),
        answers=_changed(log, begin, end, valid_at),
    )


def _changed(log: Reader, begin: Position, end: Position, valid_at: datetime | None) -> list[dict[str, Any]]:
    before = {row["key"]: row for row in _answers(log, begin, valid_at)}
    after = {row["key"]: row for row in _answers(log, end, valid_at)}
    changed = []
    for key in before.keys() | after.keys():
        was, now = before.get(key, _NOTHING), after.get(key, _NOTHING)
        if was["target"] != now["target"]:
            made = now if now is not _NOTHING and now["seq"] > begin.seq else None
            changed.append(
                {
                    "prompt": now["prompt"] or was["prompt"],
                    "was": was["target"],
                    "was_fact": was["fact"],
                    "is_now": now["target"],
                    "fact": now["fact"],
                    "by": made and {name: made[name] for name in _CAUSE},
                }
            )
    return sorted(changed, key=lambda one: (one["by"]["seq"] if one["by"] else 0, one["prompt"]))


_CAUSE = ("seq", "recorded_at", "kind", "actor", "reason", "job")
_NOTHING: dict[str, Any] = dict.fromkeys(("fact", "prompt", "target", *_CAUSE))


def _answers(log: Reader, position: Position, valid_at: datetime | None) -> list[dict[str, Any]]:
    return inquire(log, _ANSWERS, as_of=position.seq, valid_at=valid_at or position.at)
