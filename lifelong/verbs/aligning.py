"""Aligning: an expert that all facts share, learned once per base, kept in a pack and named in the log.

`lifelong align` does it ahead of time; a job of a recipe that needs one does it before its first fact. What an editor
has finished learning is kept in its preparation (`lifelong.editors.preparation`), so that a killed alignment goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from editlog.errors import IntegrityError, UsageError
from editlog.events import Entry
from editlog.reader import Reader
from editlog.store import EditLog
from lifelong.editors import Editor, editor_of
from lifelong.editors.preparation import Corpus
from lifelong.experts.pack import read_pack, write_pack
from lifelong.jobs.progress import Progress
from lifelong.layout import Layout
from lifelong.models.base import Base
from lifelong.results import Result
from lifelong.snapshots.publishing import catch_up, serving_state
from policies.recipe import Recipe


@dataclass(frozen=True)
class Aligned(Result):
    """The shared expert and its pack (None on a dry run that would make one); `made` is False where it was there."""

    expert: str | None
    pack: str | None
    made: bool
    snapshot: str | None
    dry_run: bool


def shares(editor: Editor) -> bool:
    """Whether an editor's facts share an expert."""
    return type(editor).shared is not Editor.shared


def align(
    layout: Layout,
    log: EditLog,
    recipe: Recipe,
    corpus: Corpus,
    *,
    base: Callable[[], Base],
    again: bool,
    seed: int,
    actor: str,
    reason: str | None,
    dry_run: bool,
    progress: Progress,
) -> Aligned:
    """Learn the shared expert of a recipe, `again` where there is one already, and serve it; see `Workspace.align`.

    The caller holds the job lock.
    """
    editor = editor_of(recipe, corpus)
    if not shares(editor):
        raise UsageError(f"the recipe {recipe.name} has nothing to align; lte has (`lifelong init --recipe lte`)")
    corpus.digest()
    found = None if again else _in_force(layout, log, editor)
    if found or dry_run:
        expert, pack = found or (None, None)
        return Aligned(expert, pack, made=found is None, snapshot=None, dry_run=dry_run)

    def append(entry: Entry) -> None:
        log.append([entry], actor=actor, reason=reason)

    progress.stage("align", 0)
    expert, pack = _learn(layout, log, base(), editor, seed=seed, append=append, advance=progress.advance)
    progress.done()
    return Aligned(expert, pack, made=True, snapshot=catch_up(layout, log, recipe), dry_run=False)


def ensure_shared(
    layout: Layout, log: EditLog, base: Base, editor: Editor, *, seed: int, append: Callable[[Entry], None]
) -> None:
    """Learn what an editor's facts share, and serve it, where the log names none for its recipe."""
    if shares(editor) and _in_force(layout, log, editor) is None:
        _learn(layout, log, base, editor, seed=seed, append=append)
        catch_up(layout, log, editor.recipe)


def _in_force(layout: Layout, log: Reader, editor: Editor) -> tuple[str, str] | None:
    """The expert and the pack that the log names for the editor's recipe, if that pack is intact."""
    shared = serving_state(log).shared
    if shared is None or shared.recipe != editor.recipe.digest:
        return None
    try:
        read_pack(layout.experts, shared.pack)
    except IntegrityError:
        return None
    return shared.expert, shared.pack


def _learn(
    layout: Layout,
    log: Reader,
    base: Base,
    editor: Editor,
    *,
    seed: int,
    append: Callable[[Entry], None],
    advance: Callable[[int], None] | None = None,
) -> tuple[str, str]:
    """The pack first, then the log; the same expert in the same pack is not told twice."""
    expert = editor.shared(base, seed=seed, advance=advance)
    assert expert is not None
    pack = write_pack(layout.experts, [expert])
    shared = serving_state(log).shared
    if shared is None or (shared.expert, shared.pack) != (expert.hash, pack):
        append(Entry("expert.shared", {"expert": expert.hash, "pack": pack, "recipe": editor.recipe.digest}))
    return expert.hash, pack
