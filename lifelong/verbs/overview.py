"""Overviews for people: what the next job would do, how the workspace stands, which experts are in use."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from editlog import inbox
from editlog.events import moment
from editlog.position import AsOf
from editlog.reader import Reader
from editlog.store import utc_now
from lifelong.config import Config, read_recipe
from lifelong.jobs.admitting import Terms, findings
from lifelong.jobs.planning import plan_waves, unfinished_job, waiting, wave_groups
from lifelong.layout import Layout, pack_path
from lifelong.results import ExpertRow, Plan, Status
from lifelong.snapshots.past import Served, kept_at
from lifelong.snapshots.publishing import is_behind, serving_state
from lifelong.snapshots.snapshot import current_id, read_snapshot
from lifelong.verbs.trust import terms_of
from policies.admission import Hold
from policies.budget import taken
from policies.readiness import Readiness, not_ready
from policies.recipe import Recipe

# Before a workspace has run a job of its own: what two cores do with the embedded base.
DEFAULT_FACTS_PER_SECOND = 25.0
START_SECONDS = 5.0


def plan(log: Reader, recipe: Recipe, terms: Terms, readiness: Readiness) -> Plan:
    """What the next job would do; see `Workspace.plan`."""
    logged = log.facts()
    found = waiting(log, logged, terms)
    queue = taken(found.queue, terms.budget)
    facts = {one.seq: found.facts[one.seq] for one in queue}
    waves = plan_waves(queue, facts, recipe)
    speed, basis = _speed(log)
    dropped = [
        f for f in logged if f.status == "superseded" and not f.has_outcome and f.seq not in found.facts | found.held
    ]
    unfinished = unfinished_job(log)
    wait = not_ready(found.queue, readiness, utc_now())
    why = [
        f"pending: {len(found.facts)}; held until a rule is kept: {len(found.held)}; superseded before they were"
        f" trained, and dropped: {len(dropped)}",
        f"mini-batches hold at most {recipe.grouping.mini_batch} facts, similar ones together, never two of one key",
        f"a wave trains up to {recipe.grouping.wave} facts in one pass",
        f"facts that share an expert of rank {recipe.experts.rank}: {recipe.growth.facts_per_expert}",
        f"the time is estimated from {basis}",
        *([f"left for a later job by max_facts: {left}"] if (left := len(found.facts) - len(facts)) else []),
        *([f"not ready for `run --if-ready`: {wait}"] if wait else []),
    ]
    return Plan(
        pending=len(found.facts),
        not_ready=wait,
        resumes=unfinished.job if unfinished else None,
        mini_batches=sum(len(wave) for wave in waves),
        waves=len(waves),
        experts=sum(len(wave_groups(wave, facts, recipe)) for wave in waves),
        estimated_seconds=round(START_SECONDS + len(facts) / speed, 1) if facts else 0.0,
        why=why,
        batches=[[f"f{seq}" for seq in batch] for wave in waves for batch in wave],
        held=_reasons(found.held),
        findings=_reasons({seq: one for seq, one in findings(logged).items() if seq not in found.held}),
    )


def _reasons(holds: Mapping[int, Hold]) -> list[dict[str, str]]:
    return [{"fact": f"f{seq}", "code": one.code, "reason": one.reason} for seq, one in sorted(holds.items())]


def _speed(log: Reader) -> tuple[float, str]:
    """Facts a second and where the figure is from."""
    for event in log.events(kinds=["job.finished"], newest_first=True, limit=1):
        if event.body["facts"] and event.body["seconds"]:
            speed = event.body["facts"] / event.body["seconds"]
            return speed, f"{event.job}, which did {speed:.0f} facts a second"
    return DEFAULT_FACTS_PER_SECOND, f"a default of {DEFAULT_FACTS_PER_SECOND:.0f} facts a second: no job has run yet"


def status(
    layout: Layout, log: Reader, config: Config, *, as_of: AsOf | None = None, valid_at: datetime | None = None
) -> Status:
    """The workspace at a glance; see `Workspace.status`."""
    seq, now = log.position(as_of)
    logged = [fact for fact in log.facts(as_of=seq) if valid_at is None or fact.fact.valid_at(valid_at)]
    state = serving_state(log, as_of=seq)
    snapshot = current_id(layout.snapshots) if as_of is None else kept_at(layout, state.position)
    counts = Counter(fact.status for fact in logged)
    found = waiting(log, logged, terms_of(config))
    since = [fact.at for fact in logged if fact.seq in found.facts]
    recipe = read_recipe(config.recipe, layout, config.overrides)
    return Status(
        home=str(layout.home),
        model=config.model,
        base=state.base,
        recipe=recipe.name,
        head=seq,
        facts={
            name: counts.get(name, 0) for name in ("applied", "pending", "failed", "held", "superseded", "retracted")
        },
        held=dict(Counter(one.code for one in found.held.values())),
        oldest_pending_seconds=round((now - min(since)).total_seconds(), 1) if since else None,
        experts=len({served.expert for served in state.facts if served.expert}),
        expert_bytes=sum(_size(layout, pack) for pack in state.packs),
        snapshot=snapshot,
        snapshot_behind=as_of is None and is_behind(layout, state.position, seen=seq),
        inbox=_inbox(layout),
        last_job=_last_job(log, seq),
    )


def _inbox(layout: Layout) -> dict[str, Any]:
    found = inbox.waiting(layout.log)
    age = round((utc_now() - found.oldest).total_seconds(), 1) if found.oldest else None
    return {"waiting": found.count, "oldest_seconds": age}


def _size(layout: Layout, pack: str) -> int:
    path = pack_path(layout.experts, pack)
    return path.stat().st_size if path.exists() else 0


def _last_job(log: Reader, as_of: int) -> dict[str, Any] | None:
    for event in log.events(kinds=["job.finished", "job.failed"], as_of=as_of, newest_first=True, limit=1):
        return {"job": event.job, "ended": event.kind.removeprefix("job."), "at": moment(event.at), **event.body}
    return None


def expert_rows(layout: Layout, at: Served, *, valid_at: datetime | None) -> list[ExpertRow]:
    """The experts of a snapshot; see `Workspace.experts`."""
    from lifelong.experts.pack import read_pack  # with torch, which a status starts without

    snapshot = read_snapshot(layout.snapshots, at.snapshot)
    facts: dict[str, list[str]] = defaultdict(list)
    job: dict[str, str | None] = {}
    for served in snapshot.facts:
        if served.expert and (valid_at is None or served.fact.valid_at(valid_at)):
            facts[served.expert].append(served.ref)
            job[served.expert] = served.job
    rows = []
    for name in snapshot.manifest.packs:
        pack = read_pack(layout.experts, name)
        rows += [
            ExpertRow(expert, "lowrank", facts[expert], job[expert], name, pack.bytes_per_expert)
            for expert in pack.hashes
            if expert in facts
        ]
    return rows
