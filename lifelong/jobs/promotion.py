"""Promotion: a job's result as `@candidate` on disk, opened and asked as readers will, and then `@champion`.

`@champion` is the snapshot that `snapshots/CURRENT` names. `@candidate` lies under `snapshots/candidate` while its job
looks at it, in the same form, at the position of the log that is served before it: what the log says of the job
comes after the audit. Then the same files get the manifest of the new position, and one rename moves `@champion`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from editlog.events import Entry
from editlog.store import EditLog
from lifelong.editors import Editor
from lifelong.experts.pack import alike, write_pack
from lifelong.jobs.audit import AuditReport
from lifelong.jobs.candidates import Candidates, Verdict, unique_experts
from lifelong.jobs.training import Trained
from lifelong.layout import Layout, pack_path
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.publishing import publish, serving_state
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import (
    CANDIDATE,
    Snapshot,
    drop_candidate,
    promote,
    read_snapshot,
    serve,
    write_snapshot,
)

EXPERTS_PER_PACK = 4096


@dataclass(frozen=True)
class Staged:
    """A verdict that stands after `@candidate` was asked: its packs, the events that say who is applied, the snapshot.

    Where `@candidate` did not answer as it was measured, the verdict has no accepted facts and has not passed.
    """

    verdict: Verdict
    packs: list[Path]
    applied: list[Entry]
    snapshot: Snapshot | None


class Promotion:
    """The last stage of one job: from its verdict to what readers see."""

    def __init__(self, layout: Layout, log: EditLog, base: Base, candidates: Candidates) -> None:
        self._layout, self._log, self._base = layout, log, base
        self._editor: Editor = candidates.editor
        self._candidates = candidates

    @contextmanager
    def of(self, verdict: Verdict) -> Iterator[Staged]:
        """Publish a verdict's facts as `@candidate` for the block, and ask it; it is gone afterwards."""
        if not verdict.accepted:  # what is served does not change
            yield Staged(verdict, [], [], None)
            return
        before = set(self._layout.experts.glob("*.safetensors"))
        packs, applied, pack_of = self._write_packs(verdict.accepted)
        drop_candidate(self._layout.snapshots)
        try:
            snapshot = self._write(self._candidates.served(verdict.accepted), pack_of)
            known = {pack.name: pack for pack in self._candidates.packs}
            model = EditedModel.of(self._base, snapshot, self._layout.experts, editor=self._editor, known=known)
            suite = self._candidates.ask(model, verdict.accepted)
            if self._stands(suite):
                yield Staged(verdict, packs, applied, snapshot)
            else:
                for path in set(packs) - before:
                    path.unlink()
                yield Staged(replace(verdict, accepted={}, report=suite, passed=False), [], [], None)
        finally:
            drop_candidate(self._layout.snapshots)

    def crown(self, staged: Staged) -> str:
        """Move `@champion`, once the log says who is applied; its id. Files that were asked are served as they are."""
        state, found = serving_state(self._log), staged.snapshot
        if found is None or (found.facts, found.manifest.packs) != (state.facts, state.packs):
            return publish(self._layout, state, self._candidates.gate_over(state.facts))
        champion = promote(self._layout.snapshots, found, log=state.position)
        serve(self._layout.snapshots, champion)
        return champion

    def _stands(self, suite: AuditReport) -> bool:
        return all(check.prompt_right for check in suite.checks.values()) and self._candidates.stands(suite)

    def _write_packs(self, accepted: Mapping[int, Trained]) -> tuple[list[Path], list[Entry], dict[str, str]]:
        """The packs of accepted facts, the events that name them, and the pack of each expert."""
        packs: list[Path] = []
        applied: list[Entry] = []
        pack_of: dict[str, str] = {}
        for part in _parts(accepted, EXPERTS_PER_PACK):
            for experts in alike(unique_experts(part.values())):
                name = write_pack(self._layout.experts, experts)
                packs.append(pack_path(self._layout.experts, name))
                pack_of.update((expert.hash, name) for expert in experts)
                hashes = {expert.hash for expert in experts}
                carried = [
                    {"fact": seq, "expert": trained.expert.hash}
                    for seq, trained in part.items()
                    if trained.expert.hash in hashes
                ]
                applied.append(Entry("facts.applied", {"facts": carried, "pack": name}))
        gate = self._candidates.gate_over(self._candidates.served(accepted))
        told = [*self._candidates.calibration(gate), *applied]
        return packs, [*told, *self._candidates.accumulated.entries(self._layout, pack_of)], pack_of

    def _write(self, served: Sequence[Served], pack_of: Mapping[str, str]) -> Snapshot:
        """Write `@candidate` and open it from disk."""
        folder, gate = self._layout.snapshots / CANDIDATE, self._candidates.gate_over(served)
        state = self._candidates.state
        packs = {**{expert: pack.name for pack in self._candidates.packs for expert in pack.hashes}, **pack_of}
        accumulated = self._candidates.accumulated
        own = accumulated.state.name if accumulated.state else None
        shared = {state.shared.pack} if state.shared else set()
        name = write_snapshot(
            folder,
            facts=served,
            gate=gate,
            log=state.position,
            base=state.base,
            encoder=gate.encoder.fingerprint,
            packs=sorted({packs[one.expert] for one in served if one.expert} | shared),
            state=own if accumulated.changed else state.state,
        )
        serve(folder, name, point="candidate")
        return read_snapshot(folder, name)


def _parts(accepted: Mapping[int, Trained], size: int) -> list[dict[int, Trained]]:
    order = sorted(accepted)
    return [{seq: accepted[seq] for seq in order[start : start + size]} for start in range(0, len(order), size)]
