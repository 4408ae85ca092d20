"""Starting a job: the unfinished one is taken up, else a new one begins over what waits. The log says which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from editlog.errors import IntegrityError
from editlog.events import Entry
from editlog.reader import Reader
from lifelong.jobs.admitting import Terms
from lifelong.jobs.planning import Waiting, unfinished_job
from policies.audit import full_audit_due
from policies.budget import taken
from policies.recipe import Recipe


@dataclass(frozen=True)
class Started:
    """A job as its job.started event says: taken up after a kill, or new. `full_audit`: every live fact is asked."""

    job: str
    seed: int
    facts: tuple[int, ...]
    full_audit: bool
    resumed: bool


def resumed(log: Reader, recipe: Recipe, base: str) -> Started | None:
    """The unfinished job, where there is one and it can be carried on with this recipe and base (its fingerprint)."""
    event = unfinished_job(log)
    if event is None:
        return None
    if event.job is None:
        raise IntegrityError(f"event {event.seq} starts a job without a name")
    body: dict[str, Any] = event.body
    if body["recipe_digest"] != recipe.digest or body["base"] != base:
        return None
    return Started(event.job, body["seed"], tuple(body["facts"]), body.get("full_audit", False), resumed=True)


def begun(log: Reader, found: Waiting, terms: Terms, recipe: Recipe, *, seed: int, now: datetime) -> Started | None:
    """A new job over what waits, as far as its budget goes; None where nothing waits. The log is not told yet."""
    facts = tuple(one.seq for one in taken(found.queue, terms.budget))
    if not facts:
        return None
    number = len(log.events(kinds=["job.started"])) + 1
    full = full_audit_due(_last_full_audit(log), now, recipe.audit.full_days)
    return Started(f"job-{number}", seed, tuple(sorted(facts)), full, resumed=False)


def started_entry(started: Started, recipe: Recipe, base: str) -> Entry:
    """The event that says so: with it anyone can take the job up."""
    body = {
        "facts": list(started.facts),
        "seed": started.seed,
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "base": base,
        "full_audit": started.full_audit,
    }
    return Entry("job.started", body)


def _last_full_audit(log: Reader) -> datetime | None:
    audits = log.events(kinds=["job.audited"], newest_first=True)
    return next((event.at for event in audits if event.body.get("full")), None)
