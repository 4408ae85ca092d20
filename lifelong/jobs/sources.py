"""Sources: where facts say they are from, how each fares, and pausing one: its facts wait until it is resumed."""

from __future__ import annotations

from collections import Counter, defaultdict

from editlog.errors import UsageError
from editlog.events import Entry, Event, moment
from editlog.history import LoggedFact
from editlog.position import AsOf
from editlog.reader import Reader
from editlog.store import EditLog
from lifelong.results import SourceChange, SourceRow


def paused_sources(log: Reader, *, as_of: AsOf | None = None) -> dict[str, Event]:
    """The sources that are paused (or were, `as_of`), each with the event that says so."""
    paused: dict[str, Event] = {}
    for event in log.events(kinds=["source.paused", "source.resumed"], as_of=as_of):
        if event.kind == "source.paused":
            paused[event.body["source"]] = event
        else:
            paused.pop(event.body["source"], None)
    return paused


def source_rows(log: Reader, *, as_of: AsOf | None = None) -> list[SourceRow]:
    """Every source that a fact names, by name, as the log says it or said it `as_of`."""
    paused = paused_sources(log, as_of=as_of)
    facts: dict[str, Counter[str]] = defaultdict(Counter)
    for logged in log.facts(as_of=as_of):
        if logged.fact.source is not None:
            facts[logged.fact.source][logged.status] += 1
    return [_row(name, dict(counts), paused.get(name)) for name, counts in sorted(facts.items())]


def pause(log: EditLog, source: str, *, actor: str, reason: str | None, dry_run: bool) -> SourceChange:
    """Let the facts of a source wait from here on; raises UsageError where it is paused, or nobody names it."""
    return _change(log, source, True, actor, reason, dry_run=dry_run)


def resume(log: EditLog, source: str, *, actor: str, reason: str | None, dry_run: bool) -> SourceChange:
    """Let jobs apply the facts of a source again; raises UsageError where it is not paused."""
    return _change(log, source, False, actor, reason, dry_run=dry_run)


def _change(log: EditLog, source: str, paused: bool, actor: str, reason: str | None, *, dry_run: bool) -> SourceChange:
    own = [fact for fact in log.facts() if fact.fact.source == source]
    if not own:
        raise UsageError(f"no fact in the log has the source {source!r}; `lifelong source list` shows those there are")
    if (source in paused_sources(log)) == paused:
        raise UsageError(f"the source {source!r} is {'paused already' if paused else 'not paused'}")
    if not dry_run:
        kind = "source.paused" if paused else "source.resumed"
        log.append([Entry(kind, {"source": source})], actor=actor, reason=reason)
    return SourceChange(source, paused, sum(map(_waits, own)), dry_run)


def _waits(fact: LoggedFact) -> bool:
    return fact.status == "pending"


def _row(name: str, facts: dict[str, int], paused: Event | None) -> SourceRow:
    if paused is None:
        return SourceRow(name, facts, None, None, None)
    return SourceRow(name, facts, paused.actor, moment(paused.at), paused.reason)
