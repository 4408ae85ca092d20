"""Editors that accumulate: one state and the experts that stand for all facts so far, carried from wave to wave.

Whatever such an editor returns takes the place of what it made before: facts applied earlier are applied again, to
the new expert, the old expert is retired and the log names the new state. Files come first, then one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from editlog.events import Entry
from editlog.fact import Fact
from editlog.history import LoggedFact
from editlog.store import EditLog
from lifelong.editors import CannotForget, editor_of
from lifelong.editors.preparation import Corpus
from lifelong.editors.state import State, read_state, write_state
from lifelong.experts.expert import Expert
from lifelong.experts.pack import alike, write_pack
from lifelong.jobs.audit import Failure
from lifelong.jobs.training import Trained, Trainer
from lifelong.layout import Layout
from lifelong.models.base import Base
from lifelong.snapshots.publishing import state_named
from policies.recipe import Recipe


@dataclass(frozen=True)
class Accumulated:
    """What an edit changes beside its own facts.

    `carried` are older facts by number with the expert that carries them now, `retired` the experts in use until now
    that stand no more, `state` what the editor goes on from.
    """

    carried: Mapping[int, Expert]
    retired: tuple[str, ...] = ()
    state: State | None = None
    changed: bool = False

    def entries(self, layout: Layout, packs: Mapping[str, str]) -> list[Entry]:
        """Write the state; the events that say so, given the pack of each expert. None where nothing changed."""
        if not self.changed:
            return []
        kept = write_state(layout.states, self.state) if self.state else None
        by_pack: dict[str, list[dict[str, object]]] = {}
        for seq, expert in sorted(self.carried.items()):
            by_pack.setdefault(packs[expert.hash], []).append({"fact": seq, "expert": expert.hash})
        entries = [Entry("facts.applied", {"facts": facts, "pack": pack}) for pack, facts in by_pack.items()]
        entries += [Entry("experts.retired", {"experts": sorted(self.retired)})] if self.retired else []
        return [*entries, Entry("state.kept", {"state": kept})]


NOTHING = Accumulated({})


def stock(trainer: Trainer, logged: Iterable[LoggedFact]) -> Accumulated:
    """What a job's waves changed beside the job's own facts."""
    if trainer.state is None and not trainer.retired:
        return NOTHING
    return accumulated(logged, trainer.standing.values(), trainer.retired, trainer.state)


def without(
    trainer: Trainer, facts: Mapping[int, Fact], trained: Mapping[int, Trained], failed: Collection[int]
) -> dict[int, Trained]:
    """A job's facts without those that failed; they are taken out of the weights, too, where the editor can do so."""
    rest = {seq: one for seq, one in trained.items() if seq not in failed}
    if failed and trainer.editor.accumulates:
        with suppress(CannotForget):
            trainer.forget(facts[seq].digest for seq in failed)
    return trainer.settled(facts, rest)


def in_rounds(
    failed: Mapping[int, Failure], left_after: Callable[[Collection[int]], Mapping[int, Failure]]
) -> dict[int, Failure]:
    """All facts that fail, in rounds: with some taken out of the weights, others may no longer be answered.

    `left_after(gone)` takes those facts out too and says which of the rest are not answered.
    """
    everything = dict(failed)
    while failed:
        failed = left_after(failed.keys())
        everything.update(failed)
    return everything


def accumulated(
    logged: Iterable[LoggedFact], experts: Iterable[Expert], retired: Sequence[str], state: State | None
) -> Accumulated:
    """What standing `experts` change, given the log's facts and the hashes of experts that they took the place of."""
    of_fact = {digest: expert for expert in experts for digest in expert.facts}
    carried = {
        fact.seq: of_fact[fact.fact.digest]
        for fact in logged
        if fact.expert in retired and not fact.retracted_by and fact.fact.digest in of_fact
    }
    return Accumulated(carried, tuple(retired), state, changed=True)


def state_in_force(layout: Layout, log: EditLog) -> State | None:
    """The state that the log names; None where the editor has none."""
    name = state_named(log)
    return read_state(layout.states, name) if name else None


def forget(
    layout: Layout,
    log: EditLog,
    recipe: Recipe,
    gone: Sequence[LoggedFact],
    *,
    base: Callable[[], Base],
    corpus: Corpus | None = None,
) -> list[Entry]:
    """Take facts out of what an accumulating editor made: new packs and state, and the events to append.

    Empty where no state is in force: then facts stand alone, and not serving them is enough. Raises CannotForget
    where the editor cannot.
    """
    state = state_in_force(layout, log)
    editor = editor_of(recipe, corpus) if state else None
    held = {fact.fact.digest for fact in gone} & set(state.facts if state else ())
    if editor is None or not editor.accumulates or not held:
        return []
    edit = editor.forget(base(), frozenset(held), state)
    packs: dict[str, str] = {}
    for part in alike(edit.experts):
        name = write_pack(layout.experts, part)
        packs.update((expert.hash, name) for expert in part)
    gone_seqs = {fact.seq for fact in gone}
    rest = [fact for fact in log.facts() if fact.seq not in gone_seqs]
    return accumulated(rest, edit.experts, edit.retires, edit.state).entries(layout, packs)
