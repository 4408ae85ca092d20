"""Rebase: the whole log replayed onto another base, in a new workspace beside the old one, which is only read.

Every fact that a job of the old workspace took, and that still governs its key, is asked of the new base first: one
that it answers with the target already, greedily and exactly, is skipped and said so. The others are ingested, trained,
audited and published as by any job. Killed anywhere, the same call goes on where it was.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editlog import durable
from editlog.canonical import canonical_json
from editlog.errors import UsageError
from editlog.history import LoggedFact
from lifelong.evaluation.metrics import is_exact
from lifelong.files import make_directory, write_atomically
from lifelong.jobs.progress import Progress
from lifelong.layout import Layout
from lifelong.results import Result
from lifelong.snapshots.publishing import serving_state

if TYPE_CHECKING:
    from editlog.reader import Reader
    from lifelong.models.base import Base
    from lifelong.workspace import Workspace

ASKED_AT_ONCE = 256
PLAN, ASKED, PAGE = "rebase.json", "rebase.asked", "rebase.html"
_ASKED_LINE = re.compile(rb"(\d{1,18}) ([01])")


@dataclass(frozen=True)
class Rebased(Result):
    """What a rebase did. `facts` names each fact of the old log with its new name, its outcome and why.

    Outcomes: `known` (the new base answers it by itself), `applied`, `failed`, `held`, `pending`. `left_out` counts the
    facts of the old log that were not replayed, by reason. `old` and `new` are the two workspaces' figures: model,
    experts, bytes, and the last audit's reliability and locality (shares; null: not measured).
    """

    out: str
    model: str
    head: int
    counts: dict[str, int]
    left_out: dict[str, int]
    facts: list[dict[str, Any]]
    old: dict[str, Any]
    new: dict[str, Any]
    page: str | None
    dry_run: bool


def rebase(
    old: Workspace,
    out: Path,
    *,
    model: str,
    seed: int,
    actor: str,
    reason: str | None,
    dry_run: bool,
    progress: Progress,
) -> Rebased:
    """Replay the log of `old` onto `model` in a workspace at `out`; see `Workspace.rebase`."""
    from lifelong.workspace import open_workspace

    log = old.reader
    head = log.head().seq
    layout = Layout(out)
    plan = {"from": str(old.home), "workspace": _identity(log), "head": head, "model": model}
    kept = _read_plan(layout, plan)
    head = kept["head"] if kept else head
    everything = log.facts(as_of=head)
    live = replayed(everything)
    left_out = _left_out(everything, live)
    if dry_run:
        counts = {"pending": len(live)}
        figures = _figures(old.layout, log, old.config.model)
        return Rebased(str(out), model, head, counts, left_out, [], figures, {}, None, dry_run=True)
    new = open_workspace(layout.home) if kept else _begin(old, layout, plan, actor)
    known = known_by(new, live, progress)
    unknown = [fact for fact in live if fact.seq not in known]
    why = reason or f"rebase of {old.home} at event {head}"
    _ingest(new, log, unknown, actor=actor, reason=why)
    while new.run(seed=seed, actor=actor, reason=why, progress=progress).left:
        pass
    facts = _outcomes(new, live, known)
    counts = {name: sum(one["outcome"] == name for one in facts) for name in sorted({one["outcome"] for one in facts})}
    page = out / PAGE
    done = Rebased(
        out=str(out),
        model=model,
        head=head,
        counts=counts,
        left_out=left_out,
        facts=facts,
        old=_figures(old.layout, log, old.config.model),
        new=_figures(layout, new.reader, model),
        page=str(page),
        dry_run=False,
    )
    write_atomically(page, rebase_page(done, old.home).encode())
    return done


def replayed(logged: Sequence[LoggedFact]) -> list[LoggedFact]:
    """The facts to replay, in log order: of each key the last that a job took and nobody retracted.

    Where one of a key's facts holds for some time only, all of them: each may show at its time.
    """
    standing = [fact for fact in logged if fact.job is not None and fact.retracted_by is None]
    last = {fact.fact.key: fact.seq for fact in standing}
    timed = {fact.fact.key for fact in standing if fact.fact.valid_from or fact.fact.valid_to}
    return [fact for fact in standing if last[fact.fact.key] == fact.seq or fact.fact.key in timed]


def _left_out(logged: Sequence[LoggedFact], live: Sequence[LoggedFact]) -> dict[str, int]:
    chosen = {fact.seq for fact in live}
    reasons = [_reason(fact) for fact in logged if fact.seq not in chosen]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _reason(fact: LoggedFact) -> str:
    if fact.retracted_by is not None:
        return "retracted"
    return "taken by no job yet" if fact.job is None else "superseded"


def _identity(log: Reader) -> str:
    [created] = log.events(kinds=["workspace.created"], limit=1)
    return str(created.body["workspace"])


def _read_plan(layout: Layout, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plan of a rebase that was begun here; raises UsageError where something else is."""
    try:
        kept = json.loads((layout.home / PLAN).read_bytes())
    except FileNotFoundError:
        if layout.config.exists() or layout.log.exists():
            raise UsageError(f"there is something at {layout.home}; choose another --out") from None
        return None
    same = isinstance(kept, dict) and all(kept.get(name) == plan[name] for name in ("workspace", "model"))
    if not same:
        raise UsageError(f"{layout.home} is a rebase of another workspace, or onto another model; choose another --out")
    return kept if layout.config.exists() else None


def _begin(old: Workspace, layout: Layout, plan: Mapping[str, Any], actor: str) -> Workspace:
    """An empty workspace on the new model, with the old one's own recipes; what a kill left of one goes first."""
    from lifelong.verbs.founding import init

    if (layout.home / PLAN).exists() and layout.log.exists():
        shutil.rmtree(layout.log)  # ours, and empty: lifelong.toml is written last
    make_directory(layout.home)
    write_atomically(layout.home / PLAN, canonical_json(dict(plan)))
    if old.layout.recipes.is_dir():
        shutil.copytree(old.layout.recipes, layout.recipes, dirs_exist_ok=True)
    model, kept = str(plan["model"]), old.config
    new = init(
        layout.home,
        model=model,
        recipe=kept.recipe,
        device=kept.device,
        dtype=kept.dtype,
        probe=False,  # the old workspace's dials are taken over
        actor=actor,
    )
    # Who is told and trusted is for a person to copy.
    config = _config(old, model).model_copy(update={"chat": new.config.chat})
    write_atomically(layout.config, config.to_toml().encode())
    new.config = config
    return new


def _config(old: Workspace, model: str) -> Any:
    """The old configuration on the new model, without its rules of admission: what is replayed was admitted there."""
    from lifelong.config import Config

    kept = {name: getattr(old.config, name) for name in ("device", "dtype", "threads", "recipe", "overrides", "budget")}
    return Config(model=model, **kept)


def known_by(new: Workspace, live: Sequence[LoggedFact], progress: Progress) -> set[int]:
    """Facts whose prompt the new base answers with their target, greedily; asked once, whatever is killed."""
    path = new.home / ASKED
    asked = dict(_asked(path))
    waiting = [fact for fact in live if fact.seq not in asked]
    if waiting:
        base, most = new.load_base(), new.recipe.audit.max_new_tokens
        progress.stage("ask the new base", len(waiting))
        for start in range(0, len(waiting), ASKED_AT_ONCE):
            some = waiting[start : start + ASKED_AT_ONCE]
            found = dict(zip([fact.seq for fact in some], _answered(base, some, most), strict=True))
            lines = "".join(f"{seq} {int(right)}\n" for seq, right in found.items())
            durable.append(path, lines.encode(), point="rebase")
            asked.update(found)
            progress.advance(len(some))
    return {fact.seq for fact in live if asked[fact.seq]}


def _asked(path: Path) -> Iterator[tuple[int, bool]]:
    """What was asked already; a line that a crash cut short says nothing."""
    text = path.read_bytes() if path.exists() else b""
    for line in text.splitlines():
        if whole := _ASKED_LINE.fullmatch(line):
            yield int(whole[1]), whole[2] == b"1"


def _answered(base: Base, facts: Sequence[LoggedFact], max_new_tokens: int) -> list[bool]:
    """Whether each fact is known; one that holds for some time only never is, for a base has no clock."""
    asked = [fact.fact for fact in facts]
    can = [base.fits(f"{fact.prompt} {fact.target}") and not (fact.valid_from or fact.valid_to) for fact in asked]
    prompts = [fact.prompt for fact, good in zip(asked, can, strict=True) if good]
    answers = iter(base.generate(prompts, max_new_tokens=max_new_tokens) if prompts else [])
    return [good and is_exact(next(answers), fact.target) for fact, good in zip(asked, can, strict=True)]


def _ingest(new: Workspace, log: Reader, facts: Sequence[LoggedFact], *, actor: str, reason: str) -> None:
    """Bring the facts in with their probes; those that are there already are duplicates, and nothing happens."""
    probes = log.probes_of([fact.seq for fact in facts])
    lines = io.BytesIO()
    for one in facts:
        fact = one.fact.model_copy(update={"probes": probes[one.seq]}) if one.seq in probes else one.fact
        lines.write(canonical_json(fact.record()) + b"\n")
    lines.seek(0)
    if facts:
        new.ingest(lines, actor=actor, reason=reason)


def _outcomes(new: Workspace, live: Sequence[LoggedFact], known: set[int]) -> list[dict[str, Any]]:
    there = {fact.fact.digest: fact for fact in new.reader.facts()}
    outcomes = []
    for fact in live:
        now = there.get(fact.fact.digest)
        outcome = "known" if fact.seq in known else now.status if now else "pending"
        row = {"fact": fact.ref, "new": now.ref if now else None, "prompt": fact.fact.prompt}
        row |= {"target": fact.fact.target, "was": fact.status, "outcome": outcome, "why": now.why if now else None}
        outcomes.append(row)
    return outcomes


def _figures(layout: Layout, log: Reader, model: str) -> dict[str, Any]:
    """A workspace in figures, for the comparison."""
    from lifelong.layout import pack_path

    state = serving_state(log)
    paths = [pack_path(layout.experts, name) for name in state.packs]
    audited = log.events(kinds=["job.audited"], newest_first=True, limit=1)
    audit = audited[0].body if audited else {}
    return {
        "model": model,
        "base": state.base,
        "experts": len({served.expert for served in state.facts if served.expert}),
        "bytes": sum(path.stat().st_size for path in paths if path.exists()),
        **{name: audit.get(name) for name in ("reliability", "locality")},
    }


def rebase_page(done: Rebased, old: Path) -> str:
    """The comparison of the two workspaces as a self-contained page."""
    from lifelong.reports import html
    from lifelong.reports.page import cut

    sides = [{"workspace": str(old), **done.old}, {"workspace": done.out, **done.new}]
    columns = ("workspace", "model", "experts", "bytes", "reliability", "locality")
    by_outcome = sorted(done.facts, key=lambda one: (one["outcome"] in ("applied", "known"), one["outcome"]))
    return html.page(
        f"Rebase onto {done.model}",
        html.section("The two workspaces", html.table(sides, columns), html.note("Audits: each one's last job.")),
        html.section("What became of the facts", html.pairs({**done.counts, "left out": done.left_out})),
        html.section("Fact by fact", cut(by_outcome, ("fact", "new", "prompt", "target", "was", "outcome", "why"))),
    )
