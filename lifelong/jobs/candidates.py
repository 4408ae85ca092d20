"""Candidates: the edited model as it would be with some of a job's facts published, measured before any is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from editlog.events import Entry
from editlog.history import LoggedFact
from lifelong.anchors.gate import Gate, ScopedFact
from lifelong.editors import Editor
from lifelong.experts.bank import Bank
from lifelong.experts.expert import Expert
from lifelong.experts.pack import Pack, alike, decode_pack, encode_pack
from lifelong.jobs.accumulating import NOTHING, Accumulated
from lifelong.jobs.audit import Answers, AuditReport, Failure, audit
from lifelong.jobs.training import Trained
from lifelong.models.base import Base
from lifelong.models.edited import EditedModel
from lifelong.snapshots.calibrating import calibration_entry
from lifelong.snapshots.publishing import ServingState, build_gate
from lifelong.snapshots.serving import Served, served_facts
from lifelong.snapshots.snapshot import scoped
from policies.audit import Limits, Measured, culprits_among
from policies.recipe import Recipe


@dataclass(frozen=True)
class Verdict:
    """What an audit left: facts to publish with their experts, and the others with the reason."""

    accepted: Mapping[int, Trained]
    failed: Mapping[int, Failure]
    held: Mapping[int, Failure]
    report: AuditReport
    passed: bool


class Candidates:
    """Builds candidates of one job and measures them; answers and the last gate are kept between measurements."""

    def __init__(
        self,
        base: Base,
        recipe: Recipe,
        *,
        job: str,
        seed: int,
        full: bool,
        logged: Sequence[LoggedFact],
        state: ServingState,
        packs: Sequence[Pack],
        answers: Answers,
        editor: Editor,
    ) -> None:
        self._base = base
        self._recipe = recipe
        self._job = job
        self.logged = logged
        self.state = state
        self.packs = packs
        self._answers = answers
        self.editor = editor
        self.accumulated: Accumulated = NOTHING
        self._served: tuple[dict[int, str], list[Served]] | None = None
        self._gate: tuple[tuple[ScopedFact, ...], Gate] | None = None
        older = [served for served in state.facts if served.expert]
        draw = Random(f"{seed}/{job}")  # noqa: S311 - a sample to audit, not a secret
        self.live = len(older)
        self._known: frozenset[int] | None = None
        self.sample = older if full else draw.sample(older, min(recipe.audit.sample, len(older)))

    def measure(self, trained: Mapping[int, Trained]) -> AuditReport:
        """Audit a candidate that carries these facts beside the ones already served."""
        return self.ask(self._model(trained), trained)

    def ask(self, model: EditedModel, trained: Mapping[int, Trained]) -> AuditReport:
        """Audit an edited model that carries these facts, however it came to be."""
        new = [model.facts[seq] for seq in sorted(trained) if seq in model.facts]
        older = [served for served in self.sample if served.seq in model.facts]
        if self._known is None:
            self._known = _known_by_base(model, new)
        return audit(model, self._answers, new=new, older=older)

    @property
    def known(self) -> frozenset[int]:
        """The job's facts whose target the base says already, as the first measurement found."""
        return self._known or frozenset()

    def verdict(self, trained: Mapping[int, Trained], failed: Mapping[int, Failure], report: AuditReport) -> Verdict:
        """Publish, hold some, or stop: by the recipe's limits, bisecting for culprits where they are broken.

        `report` is the measurement of all of `trained`; what `failed` names is left out of what is judged.
        """
        accepted = _without(trained, failed)
        if failed:
            report = replace(self.measure(accepted), checks=report.checks)
        if self.stands(report):
            return Verdict(accepted, failed, {}, report, passed=True)

        if self.editor.accumulates:  # no fact can be left out by itself
            return Verdict({}, failed, {}, report, passed=False)

        taken: dict[int, int] = {}

        def judged(measured: AuditReport) -> Measured:
            taken.update(measured.taken)
            seen = accepted.keys() & measured.suspects.keys() | measured.taken.keys()
            return Measured(self.stands(measured), takers=frozenset(measured.taken), seen=frozenset(seen))

        def without(gone: frozenset[int]) -> Measured:
            return judged(self.measure(_without(accepted, gone)))

        suspects = sorted(accepted, key=lambda seq: (-report.suspects.get(seq, 0), seq))
        culprits = culprits_among(suspects, judged(report), without)
        if culprits is None:
            return Verdict({}, failed, {}, report, passed=False)
        held = {seq: _spoils(taken.get(seq)) for seq in culprits}
        accepted = _without(accepted, culprits)
        report = replace(self.measure(accepted), checks=report.checks)
        return Verdict(accepted, failed, held, report, passed=True)

    def stands(self, report: AuditReport) -> bool:
        """Whether the limits are kept and no older fact's wording is taken, where who takes it can be left out."""
        limits = Limits(self._recipe.audit.locality, self._recipe.audit.retention)
        free = not report.taken or self.editor.accumulates
        return free and limits.held_by(report.locality, report.retention)

    def served(self, trained: Mapping[int, Trained]) -> list[Served]:
        """What would be served with these facts published; the last answer is kept, as it is asked for again."""
        now = {seq: one.expert.hash for seq, one in trained.items()}
        now |= {seq: expert.hash for seq, expert in self.accumulated.carried.items()}
        if self._served is None or self._served[0] != now:
            after = [
                replace(fact, expert=now[fact.seq], job=self._job) if fact.seq in now else fact for fact in self.logged
            ]
            self._served = (now, served_facts(after))
        return self._served[1]

    def gate_over(self, served: Sequence[Served]) -> Gate:
        """The gate over these facts; the last one built is kept, since the one audited is mostly the one published.

        It knows nothing of experts, so facts that were trained again need no other.
        """
        facts = tuple(scoped(served))
        if self._gate is None or self._gate[0] != facts:
            self._gate = (facts, build_gate(served, self._recipe, self.state.calibrated))
        return self._gate[1]

    def calibration(self, gate: Gate) -> list[Entry]:
        """What the log is told of the gate that is published, where its thresholds are to stay."""
        return calibration_entry(gate, self.state.calibrated, self._recipe)

    def _model(self, trained: Mapping[int, Trained]) -> EditedModel:
        served = self.served(trained)
        packs = list(self.packs)
        experts = {one.expert.hash: one.expert for one in trained.values()}
        experts |= {expert.hash: expert for expert in self.accumulated.carried.values()}
        packs += [decode_pack(*encode_pack(part)) for part in alike(experts.values())]
        gate, state = self.gate_over(served), self.accumulated.state
        return EditedModel(self._base, Bank(self._base, packs), gate, served, editor=self.editor, state=state)


def _known_by_base(model: EditedModel, facts: Sequence[Served]) -> frozenset[int]:
    """The facts whose target the base puts first, token by token; what it says after the target does not count."""
    scores = model.target_logits([(one.fact.prompt, one.fact.target) for one in facts], edits=False)
    return frozenset(one.seq for one, score in zip(facts, scores, strict=True) if score.leading >= score.total - 1)


def _spoils(older: int | None) -> Failure:
    """Why a culprit is held; `older` is the fact whose wording it took, where it took one."""
    if older is None:
        return Failure("spoils-others", "the audit holds only without it", "", "")
    words = f"it takes a wording of f{older} and answers it otherwise; retract f{older} if this one is to stand"
    return Failure("spoils-others", words, "", "")


def unique_experts(trained: Iterable[Trained]) -> list[Expert]:
    """Each expert once, in order: facts of one group share theirs."""
    return list({t.expert.hash: t.expert for t in trained}.values())


def _without(trained: Mapping[int, Trained], gone: Iterable[int]) -> dict[int, Trained]:
    left_out = set(gone)
    return {seq: one for seq, one in trained.items() if seq not in left_out}
