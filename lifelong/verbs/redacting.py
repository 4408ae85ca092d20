"""Redaction of a workspace: after it, nothing here holds the words of the fact, nor an expert that learned it.

Everything that is found by words is changed while the log still has them; then the log is written anew in one step;
then everything that is found by number is swept. So a redaction that was killed is finished by asking for it again, and
nothing that was acknowledged is lost on the way: other facts of a retired expert wait for the next job.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from editlog import durable, responses
from editlog.errors import UsageError
from editlog.events import Entry, Event
from editlog.history import LoggedFact
from editlog.recover import EVIDENCE
from editlog.replica import refresh
from editlog.store import EditLog, utc_now
from lifelong.editors.state import states_of
from lifelong.experts.pack import has_slot_of, read_pack, write_pack
from lifelong.layout import Layout, pack_path
from lifelong.results import Redaction
from lifelong.snapshots.publishing import catch_up, packs_by_expert
from lifelong.snapshots.snapshot import rewrite_without
from lifelong.verbs.scrubbing import Words, forgotten, scrub, words_of
from policies.recipe import Recipe

OUT_OF_REACH = (
    "backups and copies of this folder",
    "files that log export, export or log query wrote elsewhere, and what was loaded from them",
    "the files and feeds that the facts came from: what is delivered again is a new fact",
    "answers that were given already; a witness has hashes only",
    "what a file system or a disk keeps of files that were replaced",
)
_NAME = re.compile(r"f([1-9][0-9]{0,17})")
_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class _Learned:
    """Who learned the facts: experts by hash, the packs that hold them, and packs that no event names."""

    experts: frozenset[str]
    packs: tuple[str, ...]
    strays: tuple[Path, ...]


def redact(
    layout: Layout, log: EditLog, recipe: Recipe, refs: Sequence[str], *, actor: str, reason: str | None, dry_run: bool
) -> Redaction:
    """Redact facts, and all others that give the same target to the same prompt; see `Workspace.redact`."""
    if reason is None:
        raise UsageError("a redaction needs a --reason: it is the one thing that the log will still say about it")
    if not dry_run:
        log.drain()  # what waits in the inbox may say the same
    before = set(log.redacted())
    asked = [seq for seq in _seqs(log, refs, before) if seq not in before]
    if not asked:
        return _swept(layout, log, recipe, Redaction(redacted=list(refs), already_redacted=True, dry_run=dry_run))
    facts = log.same_content(asked)
    gone = {fact.seq for fact in facts}
    logged = log.facts()
    others = [fact for fact in logged if fact.seq not in gone]
    words = _words(log, facts, others)
    learned = _learned(layout, log, facts)
    changed, left = scrub(layout, words, dry_run=dry_run)
    found = Redaction(
        redacted=[fact.ref for fact in facts],
        experts_retired=sorted(learned.experts),
        to_train_again=[fact.ref for fact in others if fact.expert in learned.experts and not fact.retracted_by],
        packs_rewritten=list(learned.packs),
        files_changed=[str(path) for path in changed],
        files_left=[str(path) for path in left],
        still_said_by=[fact.ref for fact in others if words.are_in("\n".join(_all_words(fact)))],
        out_of_reach=list(OUT_OF_REACH),
        dry_run=dry_run,
    )
    if dry_run:
        return found
    responses.erase(layout.log / responses.RESPONSES, forgotten(words))
    for stray in (*learned.strays, *_adapters(layout, log, learned)):
        shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
    for waves in layout.runs.glob("*/waves"):
        shutil.rmtree(waves)
    states = states_of(layout.states, [fact.fact.digest for fact in facts])
    for state in states:
        state.unlink()
    entries = [Entry("experts.retired", {"experts": sorted(learned.experts)})] if learned.experts else []
    entries += [Entry("state.kept", {"state": None})] if states else []  # what is left is trained again without it
    log.redact(sorted(gone), [*entries, *_rewritten(layout, learned)], actor=actor, reason=reason)
    return _swept(layout, log, recipe, found)


def _swept(layout: Layout, log: EditLog, recipe: Recipe, found: Redaction) -> Redaction:
    """Serve what the log says now, then remove all that is left of redacted facts, known by their numbers alone."""
    if found.dry_run:
        return found
    refresh(log, layout.replica, utc_now())  # raises where the write before could only warn: the words must be gone
    served = catch_up(layout, log, recipe)
    moves = log.events(kinds=["pack.rewritten", "facts.applied"])
    snapshots = rewrite_without(layout.snapshots, set(log.redacted()), _moved(moves))
    for name in _replaced(moves):
        pack_path(layout.experts, name).unlink(missing_ok=True)
    for leftover in layout.experts.glob(".*"):  # what a job that was killed has half written
        leftover.unlink()
    _drop_evidence(layout, log)
    if layout.experts.is_dir():
        durable.sync_directory(layout.experts, point="redact.packs")
    return found.after(snapshot=served, snapshots_rewritten=snapshots)


def _seqs(log: EditLog, refs: Iterable[str], before: set[int]) -> list[int]:
    """The facts meant, also those that are redacted already and go by their name only."""
    found = []
    for ref in refs:
        name = _NAME.fullmatch(ref)
        found.append(int(name[1]) if name and int(name[1]) in before else log.resolve(ref).seq)
    return found


def _words(log: EditLog, facts: Sequence[LoggedFact], others: Iterable[LoggedFact]) -> Words:
    seqs = {fact.seq for fact in facts}
    puts = [event for event in log.events(kinds=["fact.put"], after=min(seqs) - 1) if event.seq in seqs]
    return words_of(
        [fact.fact for fact in facts],
        [fact.fact for fact in others if fact.retracted_by is None],
        refs=[fact.ref for fact in facts],
        commitments=[event.body["commitment"] for event in puts],
    )


def _all_words(logged: LoggedFact) -> list[str]:
    fact = logged.fact
    return [*fact.wordings, *(near.prompt for near in fact.near_misses)]


def _learned(layout: Layout, log: EditLog, facts: Sequence[LoggedFact]) -> _Learned:
    """Every expert that ever learned one of the facts: by the log, and by the slot tables of all packs.

    A merged expert names all facts it carries, so the descendants of one that learned a fact are found as well.
    """
    digests = [fact.fact.digest for fact in facts]
    seqs = {fact.seq for fact in facts}
    events = log.events(kinds=["facts.applied"])
    experts = {item["expert"] for event in events for item in event.body["facts"] if item["fact"] in seqs}
    named = set(packs_by_expert(log).values())
    packs, strays = [], []
    for path in sorted(layout.experts.glob("*.safetensors")):
        if has_slot_of(path, digests):
            packs.append(path.stem) if path.stem in named else strays.append(path)
    for name in packs:
        pack = read_pack(layout.experts, name)
        experts.update(h for h, held in zip(pack.hashes, pack.facts, strict=True) if set(held) & set(digests))
    return _Learned(frozenset(experts), tuple(packs), tuple(strays))


def _rewritten(layout: Layout, learned: _Learned) -> list[Entry]:
    """Write each pack anew without the experts that learned the facts; the events that say so."""
    entries = []
    for name in learned.packs:
        pack = read_pack(layout.experts, name)
        kept = [pack.expert(slot) for slot, hashed in enumerate(pack.hashes) if hashed not in learned.experts]
        into = write_pack(layout.experts, kept) if kept else None
        entries.append(Entry("pack.rewritten", {"pack": name, "into": into}))
    return entries


def _replaced(moves: Iterable[Event]) -> set[str]:
    """Packs that were written anew, and that no later job has made again."""
    replaced: set[str] = set()
    for event in moves:
        if event.kind == "pack.rewritten":
            replaced.add(event.body["pack"])
        else:
            replaced.discard(event.body.get("pack", ""))
    return replaced


def _moved(moves: Iterable[Event]) -> dict[str, str | None]:
    """Where the experts of each replaced pack lie now; None where none of them is left."""
    moved: dict[str, str | None] = {}
    for event in moves:
        if event.kind == "pack.rewritten":
            pack, into = event.body["pack"], event.body["into"]
            moved = {old: into if new == pack else new for old, new in moved.items()} | {pack: into}
        else:
            moved.pop(event.body.get("pack", ""), None)
    return moved


def _adapters(layout: Layout, log: EditLog, learned: _Learned) -> list[Path]:
    """Adapter directories that `export peft` wrote into the workspace, of experts that learned the facts."""
    facts: dict[str, set[int]] = {}
    for event in log.events(kinds=["facts.applied"]):
        for item in event.body["facts"]:
            facts.setdefault(item["expert"], set()).add(item["fact"])
    names = {f"f{seq}" for expert in learned.experts for seq in facts.get(expert, ())}
    return [path.parent for path in sorted(layout.home.rglob(_ADAPTER)) if path.parent.name in names]


def _drop_evidence(layout: Layout, log: EditLog) -> None:
    """Remove what recoveries have kept of damaged files before the last redaction: copies that hold the words."""
    last = log.events(kinds=["fact.redacted"], newest_first=True, limit=1)[0].at
    for folder in sorted((layout.log / EVIDENCE).glob("*")):
        kept_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        if kept_at < last:
            shutil.rmtree(folder)
