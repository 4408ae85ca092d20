"""Merging experts: the policy's groups are made into one expert each, audited on all their facts, kept if they hold.

A merge overwrites nothing. It makes new experts; then one transaction of the log says which facts they carry and
which experts carry none any more (`experts.merged`, `facts.applied`, `experts.retired`); then the snapshot moves. What
is trained is kept until then, so that a merge that was killed goes on where it was when it is asked for again.

A retracted fact is not served from the moment it is retracted; it goes out of the weights of a shared expert here: an
expert that holds one is made again of its other facts alone, and is then what it would be had it never held that one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from editlog.canonical import canonical_json, sha256, tag
from editlog.errors import UsageError
from editlog.events import Entry
from editlog.store import EditLog
from lifelong.anchors.gate import Gate
from lifelong.config import first_problem
from lifelong.experts.bank import Bank
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank, kind_of
from lifelong.experts.merge import merged
from lifelong.experts.pack import Pack, alike, decode_pack, encode_pack, read_pack, write_pack
from lifelong.experts.quantising import stored_as
from lifelong.jobs.audit import Answers, AuditReport, audit, questions
from lifelong.jobs.lease import Lease
from lifelong.jobs.planning import groupable
from lifelong.jobs.training import Trainer
from lifelong.layout import Layout
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.results import Merge
from lifelong.snapshots.publishing import ServingState, build_gate, catch_up, publish, serving_state
from lifelong.snapshots.serving import Served
from policies.merging import Carried, Group, Merging, halves, plan
from policies.recipe import Recipe

if TYPE_CHECKING:
    from lifelong.jobs.progress import Progress
    from lifelong.workspace import Workspace

GENTLE = 1 / 3
"""The share of the recipe's rates at which training goes on from a mean: what the experts knew is lost at full ones."""
ENOUGH = 0.5
"""The loss under which a mean that answers right is trained no more, for the same reason."""


@dataclass(frozen=True)
class _InUse:
    """The experts that may be merged: what the policy knows of them, their packs, and which hold a retracted fact."""

    carried: dict[str, Carried]
    packs: dict[str, Pack]
    stale: frozenset[str]

    def expert(self, expert_hash: str) -> Expert:
        """The expert itself."""
        pack = self.packs[expert_hash]
        return pack.expert(pack.hashes.index(expert_hash))

    def rank(self, group: Group, dials: Merging, recipe: Recipe) -> int:
        """The rank that a group is merged to: what its different answers have now, as far as the recipe lets it."""
        ranks = {one.answer or one.expert: _rank(self.packs[one.expert]) for one in group}
        return dials.rank or min(recipe.experts.rank, sum(ranks.values()))

    def size(self, group: Group, dials: Merging, recipe: Recipe) -> int:
        """Bytes of the expert that a group would become, at the dtype it has now."""
        ranks = [_rank(self.packs[one.expert]) for one in group]
        rank = sum(ranks) if dials.method == "cat" and not dials.rank else self.rank(group, dials, recipe)
        return group[0].bytes * rank // ranks[0]


def merge(
    workspace: Workspace, dials: Merging, *, actor: str, reason: str | None, dry_run: bool, progress: Progress
) -> Merge:
    """Merge what the dials say, under the workspace's lease; see `Workspace.merge`."""
    if dry_run:
        return planned(workspace.layout, workspace.log, workspace.recipe, dials)
    with workspace.job_lock(actor) as lease:
        catch_up(workspace.layout, workspace.log, workspace.recipe)
        return _merged(workspace, dials, lease, actor=actor, reason=reason, progress=progress)


def merge_as_policy_says(workspace: Workspace, lease: Lease, *, actor: str, progress: Progress) -> Merge | None:
    """What follows a job, under its lease: the merge that `[merging]` asks for; None where it asks for none."""
    dials = workspace.recipe.merging
    if dials.policy == "none":
        return None
    reason = f"the recipe's policy {dials.policy}"
    done = _merged(workspace, dials, lease, actor=actor, reason=reason, progress=progress)
    shutil.rmtree(workspace.layout.merging, ignore_errors=True)
    return done


def _merged(
    workspace: Workspace, dials: Merging, lease: Lease, *, actor: str, reason: str | None, progress: Progress
) -> Merge:
    layout, log, recipe = workspace.layout, workspace.log, workspace.recipe
    found = planned(layout, log, recipe, dials)
    if not found.tried:  # nothing to load a model for
        return replace(found, dry_run=False)
    base = workspace.own_base(log)
    merger = Merger(layout, log, base, recipe, dials, lease=lease, progress=progress)
    return merger.run(actor=actor, reason=reason)


def dials_of(recipe: Recipe, *, method: str | None, experts: int, size: int) -> Merging:
    """The recipe's dials for merging, with another method or budget; raises UsageError where they say nothing to do."""
    asked: dict[str, Any] = {"policy": "budget", "experts": experts, "bytes": size} if experts or size else {}
    asked |= {"method": method} if method else {}
    try:
        dials = Merging.model_validate({**recipe.merging.model_dump(), **asked})
    except ValidationError as error:
        raise UsageError(f"these experts cannot be merged so: {first_problem(error)}") from error
    if dials.policy == "none":
        raise UsageError(
            f"the recipe {recipe.name} merges nothing; say how far with --budget, or name a policy under [merging]"
        )
    return dials


def planned(layout: Layout, log: EditLog, recipe: Recipe, dials: Merging) -> Merge:
    """What a merge would try, and what it would gain if all of it held; changes nothing."""
    in_use = _in_use(layout, log, serving_state(log))
    groups = _groups(in_use, dials, recipe)
    gone = sum(one.bytes for group in groups for one in group)
    after = sum(one.bytes for one in in_use.carried.values()) - gone
    after += sum(in_use.size(group, dials, recipe) for group in groups)
    return _result(dials, in_use, groups, kept=groups, bytes_after=after, dry_run=True)


def trained_by(recipe: Recipe, dials: Merging) -> Recipe:
    """The recipe by which merged experts are trained: of the rank asked for, and gently where a mean is trained on."""
    experts, training = recipe.experts, recipe.training
    if dials.rank:
        experts = experts.model_copy(update={"rank": dials.rank, "rank_per_token": 0})
    if dials.method == "mean_distil":
        gently = {rate: getattr(training, rate) * GENTLE for rate in ("key_rate", "value_rate")}
        training = training.model_copy(update={**gently, "stop_loss": max(ENOUGH, training.stop_loss)})
    return recipe.model_copy(update={"experts": experts, "training": training})


class Merger:
    """One merge. The caller holds the workspace's lease, which is asked before the log is told."""

    def __init__(
        self,
        layout: Layout,
        log: EditLog,
        base: Base,
        recipe: Recipe,
        dials: Merging,
        *,
        lease: Lease,
        progress: Progress,
    ) -> None:
        self._layout, self._log, self._base, self._dials = layout, log, base, dials
        self._recipe = trained_by(recipe, dials)
        self._lease, self._progress = lease, progress
        self._state: ServingState = serving_state(log)
        self._in_use = _in_use(layout, log, self._state)
        self._gate: Gate = build_gate(self._state.facts, recipe, self._state.calibrated)
        self._answers = Answers(recipe.audit.max_new_tokens, progress.advance)
        self._facts = {served.seq: served.fact for served in self._state.facts if served.expert}

    def run(self, *, actor: str, reason: str | None) -> Merge:
        """Make, audit and publish; what does not hold is tried in halves, and left as it was in the end."""
        groups = tried = _groups(self._in_use, self._dials, self._recipe)
        kept: dict[Group, Expert] = {}
        while tried:
            held = self._settled(tried)
            kept.update(held)
            tried = [half for group in tried if group not in held for half in halves(group)]
        if kept:
            self._publish(kept, actor=actor, reason=reason)
        shutil.rmtree(self._layout.merging, ignore_errors=True)
        self._progress.done()
        gone = sum(one.bytes for group in kept for one in group)
        after = sum(one.bytes for one in self._in_use.carried.values()) - gone
        after += sum(_nbytes(expert) for expert in kept.values())
        return _result(self._dials, self._in_use, groups, kept=list(kept), bytes_after=after, dry_run=False)

    def _settled(self, groups: Sequence[Group]) -> dict[Group, Expert]:
        """The groups that hold, with the expert each becomes; what is trained begins anew, at a mean or at `cat`."""
        method = self._dials.method
        # The weights of an expert that holds a retracted fact must not go into another one.
        pure = [group for group in groups if not any(one.expert in self._in_use.stale for one in group)]
        mixable = [group for group in pure if len(group) > 1 and (method != "mean_distil" or _says_one(group))]
        mixed = {} if method == "distil" else self._mixed(mixable)
        held = {} if method == "mean_distil" else self._held(mixed)
        left = [group for group in groups if group not in (held if method.endswith("_distil") else mixed)]
        return held | self._held(self._distilled(left, mixed))

    def _distilled(self, groups: Sequence[Group], begin: Mapping[Group, Expert]) -> dict[Group, Expert]:
        """Experts trained on all facts of their group, wave by wave; from where they `begin`, or anew."""
        found: dict[Group, Expert] = {}
        trainer = Trainer(self._base, self._recipe, self._layout.merging, seed=0)
        self._stage("distil", groups)
        for wave in _waves(groups, self._recipe.grouping.wave):
            numbers = tuple(tuple(sorted(seq for one in group for seq in one.facts)) for group in wave)
            known = tuple(begin.get(group) for group in wave)
            trained = trainer.fit(
                self._facts,
                numbers,
                steps=self._recipe.training.retry_steps,
                begin=known if any(known) else (),
                advance=self._progress.advance,
            )
            found.update((group, trained[seqs[0]].expert) for group, seqs in zip(wave, numbers, strict=True))
        return found

    def _mixed(self, groups: Sequence[Group]) -> dict[Group, Expert]:
        """The expert of each group, by arithmetic on its factors."""
        self._stage("mix", groups)
        return {group: self._mix(group) for group in groups}

    def _mix(self, group: Group) -> Expert:
        dials, experts = self._dials, [self._in_use.expert(one.expert) for one in group]
        method, rank = dials.method.removesuffix("_distil"), dials.rank
        if method != dials.method:  # what may be trained on from has the rank of what is trained
            rank = self._in_use.rank(group, dials, self._recipe)
        how = {"recipe": self._recipe.digest, "method": method, "rank": rank, "density": dials.density}
        tensors = {}
        for site in sorted({site for expert in experts for site in expert.tensors}):
            parts = [delta for e in experts if isinstance(delta := e.tensors.get(site), LowRank)]
            whole = merged(method, parts, rank=rank, density=dials.density, seed=0)
            tensors[site] = stored_as(whole.a, whole.b, self._recipe.experts.dtype)
        self._progress.advance(sum(len(one.facts) for one in group))
        return Expert(
            facts=tuple(sorted(self._facts[seq].digest for one in group for seq in one.facts)),
            tensors=tensors,
            recipe=tag(sha256(b"lifelong/merge/v1\x00", canonical_json(how))),
            base=self._base.fingerprint,
            kind=kind_of(next(iter(tensors.values()))),
        )

    def _stage(self, name: str, groups: Sequence[Group]) -> None:
        if groups:
            self._progress.stage(name, sum(len(one.facts) for group in groups for one in group))

    def _held(self, made: Mapping[Group, Expert]) -> dict[Group, Expert]:
        """The groups whose facts are all answered at least as well as before, and spoil no more near misses."""
        if not made:
            return {}
        moved = {seq: expert.hash for group, expert in made.items() for one in group for seq in one.facts}
        self._progress.stage("audit", 2 * questions(self._facts[seq] for seq in moved))
        before = self._audited(self._state.facts, moved, ())
        now = [replace(one, expert=moved.get(one.seq, one.expert)) for one in self._state.facts]
        after = self._audited(now, moved, list(made.values()))
        return {
            group: expert
            for group, expert in made.items()
            if all(_as_good(seq, before, after) for one in group for seq in one.facts)
        }

    def _audited(self, served: Sequence[Served], moved: Mapping[int, str], experts: Sequence[Expert]) -> AuditReport:
        packs = [read_pack(self._layout.experts, name) for name in self._state.packs]
        packs += [decode_pack(*encode_pack(part)) for part in alike(experts)]
        model = EditedModel(self._base, Bank(self._base, packs), self._gate, served)
        return audit(model, self._answers, new=[one for one in served if one.seq in moved], older=[])

    def _publish(self, kept: Mapping[Group, Expert], *, actor: str, reason: str | None) -> None:
        """Packs first, then one transaction of the log, then the snapshot's rename."""
        job_of = {served.seq: served.job for served in self._state.facts}
        of_expert = {expert.hash: group for group, expert in kept.items()}
        merges = [{"expert": expert.hash, "from": [one.expert for one in group]} for group, expert in kept.items()]
        entries = [Entry("experts.merged", {"merged": merges, "method": self._dials.method})]
        for part in alike(kept.values()):
            carried = [
                {"fact": seq, "expert": expert.hash, "job": job_of[seq]}
                for expert in part
                for one in of_expert[expert.hash]
                for seq in one.facts
            ]
            entries.append(Entry("facts.applied", {"facts": carried, "pack": write_pack(self._layout.experts, part)}))
        emptied = self._emptied(kept)
        if emptied:
            entries.append(Entry("experts.retired", {"experts": emptied}))
        self._lease.check()
        self._log.append(entries, actor=actor, reason=reason)
        publish(self._layout, serving_state(self._log), self._gate)

    def _emptied(self, kept: Mapping[Group, Expert]) -> list[str]:
        """Experts that no fact stands on any more; one that carries a superseded or retracted fact stays for it."""
        moved = {seq for group in kept for one in group for seq in one.facts}
        standing = {fact.expert for fact in self._log.facts() if fact.seq not in moved}
        made = {expert.hash for expert in kept.values()}
        return sorted({one.expert for group in kept for one in group} - standing - made)


def _in_use(layout: Layout, log: EditLog, state: ServingState) -> _InUse:
    """The low-rank experts in use that the gate routes to; what other editors keep together is theirs to change."""
    of_expert: dict[str, list[Served]] = {}
    for served in state.facts:
        if served.expert:
            of_expert.setdefault(served.expert, []).append(served)
    unretracted = {fact.fact.digest for fact in log.facts() if fact.retracted_by is None}
    carried, packs, stale = {}, {}, set()
    together = state.state is not None  # an editor that accumulates: its experts make one whole
    for pack in (read_pack(layout.experts, name) for name in (() if together else state.packs)):
        for expert_hash, held in zip(pack.hashes, pack.facts, strict=True):
            facts = of_expert.get(expert_hash)
            if not facts or pack.anchors is not None or not all(isinstance(s, LowRank) for s in pack.stacks.values()):
                continue
            carried[expert_hash] = _carried(expert_hash, facts, pack.bytes_per_expert)
            packs[expert_hash] = pack
            if set(held) - unretracted:
                stale.add(expert_hash)
    return _InUse(carried, packs, frozenset(stale))


def _carried(expert_hash: str, facts: Sequence[Served], size: int) -> Carried:
    known = [groupable(served.seq, served.fact) for served in facts]
    answers = {one.answer for one in known}
    alone = answers.pop() if len(answers) == 1 else ""
    return Carried(expert_hash, tuple(sorted(one.seq for one in known)), size, known[0].pattern, alone)


def _groups(in_use: _InUse, dials: Merging, recipe: Recipe) -> list[Group]:
    """The policy's groups, and each expert that is left and holds a retracted fact, by itself."""
    experts = sorted(in_use.carried.values(), key=lambda one: one.facts)
    groups = plan(experts, dials, lambda group: in_use.size(group, dials, recipe))
    taken = {one.expert for group in groups for one in group}
    return groups + [(one,) for one in experts if one.expert in in_use.stale - taken]


def _waves(groups: Iterable[Group], facts: int) -> Iterable[list[Group]]:
    wave: list[Group] = []
    for group in sorted(groups, key=lambda group: group[0].facts):
        if wave and sum(len(one.facts) for other in (*wave, group) for one in other) > facts:
            yield wave
            wave = []
        wave.append(group)
    if wave:
        yield wave


def _as_good(seq: int, before: AuditReport, after: AuditReport) -> bool:
    was, now = before.checks[seq], after.checks[seq]
    as_right = now.prompt_right >= was.prompt_right and now.wordings_right >= was.wordings_right
    return as_right and after.suspects.get(seq, 0) <= before.suspects.get(seq, 0)


def _says_one(group: Group) -> bool:
    """Whether all facts of a group have one answer."""
    return bool(group[0].answer) and len({one.answer for one in group}) == 1


def _rank(pack: Pack) -> int:
    return max(stack.rank for stack in pack.stacks.values() if isinstance(stack, LowRank))


def _nbytes(expert: Expert) -> int:
    return sum(delta.nbytes for delta in expert.tensors.values())


def _result(
    dials: Merging, in_use: _InUse, groups: Sequence[Group], *, kept: Sequence[Group], bytes_after: int, dry_run: bool
) -> Merge:
    experts, gone = len(in_use.carried), sum(len(group) for group in kept)
    return Merge(
        policy=dials.policy,
        method=dials.method,
        tried=len(groups),
        kept=len(kept),
        facts=sum(len(one.facts) for group in kept for one in group),
        experts_before=experts,
        experts_after=experts - gone + len(kept),
        bytes_before=sum(one.bytes for one in in_use.carried.values()),
        bytes_after=bytes_after,
        dry_run=dry_run,
    )
