"""Editing in closed form: what ROME, MEMIT and EMMET have in common.

A fact is a key (what a feed-forward layer's last projection reads at the last token of the subject) and a residual
(what must be added to its output there for the target to follow). Facts are inserted batch by batch, each by the
method's own solution for a matrix Δ that maps keys to residuals and ordinary keys to nearly nothing.

Keys and residuals are measured on the base alone, and what earlier batches already write at a key is subtracted by
linear algebra. So they depend on no other fact, and forgetting is exact: the same batches are solved again without
the rows that go. The published MEMIT measures both on the model as edited so far, and can only subtract.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lifelong.editors import Dials, Edit, Editor, Lesson, Outcome, Wave
from lifelong.editors.covariance import Definite, covariances
from lifelong.editors.measuring import measured_once
from lifelong.editors.reading import one_site, read, subject_end
from lifelong.editors.routers import AlwaysOn, Router, Scene
from lifelong.editors.state import State
from lifelong.editors.values import Fit, Placed, Values, fit_values
from lifelong.editors.views import LEAD_INS
from lifelong.experts.expert import ALWAYS, Expert
from lifelong.experts.kinds import Dense
from lifelong.models.base import Base
from lifelong.models.sites import Site


class ClosedDials(Dials):
    """`layers` are edited, the residual being measured at the last; `batch_size` facts are solved for at once (0: the
    whole wave). `steps`, `rate`, `decay`, `kl` and `clamp` say how a residual is fitted (`values.Fit`), `contexts`
    behind how many lead-ins, too.
    """

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (-2,)
    batch_size: Annotated[int, Field(ge=0, le=16384)] = 0
    contexts: Annotated[int, Field(ge=0, le=16)] = 3
    steps: Annotated[int, Field(ge=1, le=10_000)] = 25
    rate: Annotated[float, Field(gt=0.0, le=100.0)] = 0.5
    stop_loss: Annotated[float, Field(ge=0.0)] = 0.05
    decay: Annotated[float, Field(ge=0.0)] = 0.0
    kl: Annotated[float, Field(ge=0.0)] = 0.0625
    clamp: Annotated[float, Field(ge=0.0)] = 4.0


@dataclass(frozen=True, eq=False)
class Ledger:
    """Everything inserted so far: `keys` by site float32 [facts, in], `residuals` float32 [facts, out] and `batches`
    int64 [facts] in the order they came, the facts' digests, and the sum of all Δ by site, float64 [out, in]."""

    facts: tuple[str, ...]
    keys: Mapping[str, Tensor]
    residuals: Tensor
    batches: Tensor
    deltas: Mapping[str, Tensor]

    @classmethod
    def of(cls, state: State) -> Ledger:
        """Read it from a state."""
        by_kind: dict[str, dict[str, Tensor]] = {"keys": {}, "delta": {}}
        for name, tensor in state.tensors.items():
            site, _, kind = name.rpartition("/")
            if site and kind in by_kind:
                by_kind[kind][site] = tensor
        tensors = state.tensors
        return cls(state.facts, by_kind["keys"], tensors["residuals"], tensors["batches"], by_kind["delta"])

    def state(self, expert: str) -> State:
        """The state that holds it, with the hash of the expert that it came to."""
        tensors = {"residuals": self.residuals, "batches": self.batches}
        tensors |= {f"{site}/keys": keys for site, keys in self.keys.items()}
        tensors |= {f"{site}/delta": delta for site, delta in self.deltas.items()}
        return State(tensors, self.facts, {"expert": expert})


class ClosedFormEditor(Editor):
    """One dense expert of all facts; a subclass says how a batch is solved."""

    Dials = ClosedDials
    accumulates = True

    @abstractmethod
    def solve(self, ordinary: Definite, keys: Tensor, residuals: Tensor) -> Tensor:
        """Δ float64 [out, in] for a batch: `ordinary` [in, in], keys float64 [n, in], residuals float64 [n, out]."""

    def behind(self, ordinary: Definite, keys: Tensor) -> Definite:
        """What the next batch is weighed against: ordinary text alone, unless keys so far, float64 [n, in], count."""
        return ordinary

    def kept(self, base: Base, ledger: Ledger, expert: Expert) -> State:
        """The state behind an edit; a subclass may add tensors of its own."""
        return ledger.state(expert.hash)

    def fit(
        self,
        base: Base,
        wave: Wave,
        *,
        seed: int,
        state: State | None = None,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Edit:
        """Measure keys and residuals of the wave and insert it; see `Editor.fit`. Nothing is drawn from `seed`."""
        sites = self._sites(base)
        lessons = wave.lessons
        shape = self.dials.model_dump_json(exclude={"batch_size"})
        keys, values = measured_once(
            (base.fingerprint, self.recipe.editor, shape, steps, tuple(lessons)),
            lambda: self._measured(base, sites, lessons, steps, advance),
            recalled=partial(advance, len(lessons)) if advance else None,
        )
        before = Ledger.of(state) if state else _empty(sites)
        size = self.dials.batch_size or len(lessons)
        first = int(before.batches.max()) + 1 if len(before.batches) else 0
        added = Ledger(
            tuple(lesson.digest for lesson in lessons),
            keys,
            values.added.cpu(),
            first + torch.arange(len(lessons)) // size,
            {},
        )
        ledger = self._inserted(base, before, added)
        expert = self._expert(base, ledger)
        kept = self.kept(base, ledger, expert)
        ends = zip(lessons, values.loss.tolist(), values.steps.tolist(), values.right.tolist(), strict=True)
        outcomes = {lesson.digest: Outcome(expert.hash, loss, taken, right) for lesson, loss, taken, right in ends}
        return Edit((expert,), outcomes, _expert_of(state), kept)

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Solve the same batches again without the rows of `gone`: exactly what never editing them would have given."""
        if state is None:
            return Edit(())
        whole = Ledger.of(state)
        kept = [i for i, fact in enumerate(whole.facts) if fact not in gone]
        if not kept:
            return Edit((), retires=_expert_of(state))
        rest = Ledger(
            tuple(whole.facts[i] for i in kept),
            {site: keys[kept] for site, keys in whole.keys.items()},
            whole.residuals[kept],
            whole.batches[kept],
            {},
        )
        ledger = self._inserted(base, _empty(self._sites(base)), rest)
        expert = self._expert(base, ledger)
        return Edit((expert,), retires=_expert_of(state), state=self.kept(base, ledger, expert))

    def router(self, scene: Scene) -> Router:
        """Always on."""
        return AlwaysOn(scene)

    def _sites(self, base: Base) -> list[Site]:
        sites = [one_site(base, layer, "mlp.down") for layer in self.dials.layers]
        return sorted(sites, key=lambda site: site.layer)

    def _measured(
        self,
        base: Base,
        sites: Sequence[Site],
        lessons: Sequence[Lesson],
        steps: int | None,
        advance: Callable[[int], None] | None,
    ) -> tuple[dict[str, Tensor], Values]:
        """The lessons' keys by site, float32 [facts, in], and their residuals at the last of them."""
        dials: ClosedDials = self.dials
        rows = _rows(base, lessons, dials)
        fit = Fit(max(dials.steps, steps or 0), dials.rate, dials.stop_loss, dials.decay, dials.kl, dials.clamp)
        keys = _keys(base, sites, rows, len(lessons))
        return keys, fit_values(base, sites[-1], sites[-1].path, rows, fit, advance=advance)

    def _inserted(self, base: Base, before: Ledger, added: Ledger) -> Ledger:
        """The ledger with `added` inserted behind `before`, batch by batch."""
        ordinary = covariances(base, self.corpus, list(added.keys))
        deltas = {site: delta.clone() for site, delta in before.deltas.items()}
        ordinary = {site: self.behind(ordinary[site], keys.double()) for site, keys in before.keys.items()}
        for batch in sorted(set(added.batches.tolist())):
            rows = (added.batches == batch).nonzero().squeeze(1)
            keys = {site: keys[rows].double() for site, keys in added.keys.items()}
            # What is still missing: the residual without what all sites write at these keys by now.
            missing = added.residuals[rows].double() - sum(keys[site] @ delta.T for site, delta in deltas.items())
            for place, site in enumerate(deltas):
                share = missing / (len(deltas) - place)
                change = self.solve(ordinary[site], keys[site], share)
                ordinary[site] = self.behind(ordinary[site], keys[site])
                deltas[site] += change
                missing = missing - keys[site] @ change.T
        return Ledger(
            before.facts + added.facts,
            {site: torch.cat([before.keys[site], keys]) for site, keys in added.keys.items()},
            torch.cat([before.residuals, added.residuals]),
            torch.cat([before.batches, added.batches]),
            deltas,
        )

    def _expert(self, base: Base, ledger: Ledger) -> Expert:
        dtype = torch.float16 if self.recipe.experts.dtype == "float16" else torch.float32
        tensors = {site: Dense(delta.to(dtype)) for site, delta in ledger.deltas.items()}
        facts = tuple(sorted(set(ledger.facts)))
        return Expert(facts, tensors, self.recipe.digest, base.fingerprint, "dense", ALWAYS)


def _empty(sites: Sequence[Site]) -> Ledger:
    """Nothing inserted yet, in the layers' order."""
    keys = {site.path: torch.zeros(0, site.in_features) for site in sites}
    deltas = {site.path: torch.zeros(site.out_features, site.in_features, dtype=torch.float64) for site in sites}
    return Ledger((), keys, torch.zeros(0, sites[-1].out_features), torch.zeros(0, dtype=torch.long), deltas)


def _expert_of(state: State | None) -> tuple[str, ...]:
    return (str((state.meta or {})["expert"]),) if state else ()


def _rows(base: Base, lessons: Sequence[Lesson], dials: ClosedDials) -> list[Placed]:
    """Each lesson's wordings and its prompt behind lead-ins, and, for the base's idea of the subject, "... is a"."""
    rows = []
    for fact, lesson in enumerate(lessons):
        texts = [*lesson.wordings, *(f"{lead} {lesson.prompt}" for lead in LEAD_INS[: dials.contexts])]
        for text in texts:
            answer = tuple(base.answer_ids(text, lesson.target))
            rows.append(Placed(fact, tuple(base.prompt_ids(text)), answer, subject_end(base, text, lesson)))
        if dials.kl and lesson.subject:
            essence = f"{lesson.subject} is a"
            rows.append(Placed(fact, tuple(base.prompt_ids(essence)), (), subject_end(base, essence, lesson)))
    return rows


def _keys(base: Base, sites: Sequence[Site], rows: Sequence[Placed], facts: int) -> dict[str, Tensor]:
    """Each fact's key at each site: the mean over its rows with an answer, float32 [facts, in]."""
    told = [row for row in rows if row.answer]
    fact = torch.tensor([row.fact for row in told])
    count = torch.zeros(facts).index_add_(0, fact, torch.ones(len(told)))
    found, _ = read(base, [site.path for site in sites], [row.prompt for row in told], [row.position for row in told])
    return {
        path: torch.zeros(facts, keys.shape[1]).index_add_(0, fact, keys) / count[:, None]
        for path, keys in found.items()
    }
