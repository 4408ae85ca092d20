"""Recovery of a workspace: its log, and then the packs that the log names but that are damaged or gone.

An expert can be trained again, so a pack that is not what its name says costs no fact: it is put aside beside the
log's evidence, its experts are retired, and the next job trains their facts anew. No model is loaded here.
"""

from __future__ import annotations

from pathlib import Path

from editlog import durable
from editlog.errors import IntegrityError
from editlog.events import Entry, moment
from editlog.recover import EVIDENCE
from editlog.store import EditLog, utc_now
from lifelong.files import file_sha256
from lifelong.layout import Layout, pack_path
from lifelong.results import Recovered
from lifelong.snapshots.publishing import packs_by_expert

_DAMAGED_PACK = "its pack is damaged or gone"


def recover(
    layout: Layout, *, export: Path | None, actor: str, reason: str | None, dry_run: bool, timeout: float = 10.0
) -> Recovered:
    """Recover log and packs; see `Workspace.recover`."""
    log = EditLog(layout.log, timeout=timeout, replica=layout.replica)
    found = log.recover(export=export, actor=actor, reason=reason, dry_run=dry_run)
    readable = not (dry_run and found.findings)  # what a dry run would bring back is not there to be asked
    packs = _damaged_packs(layout, log) if readable else {}
    if packs and not dry_run:
        _put_aside(layout, list(packs))
        experts = sorted({expert for carried in packs.values() for expert in carried})
        entry = Entry("experts.retired", {"experts": experts, "packs": sorted(packs)})
        log.append([entry], actor=actor, reason=reason or _DAMAGED_PACK)
    return Recovered(
        findings=[finding.to_dict() for finding in found.findings],
        kept=found.kept,
        sources=found.sources,
        lost=found.lost,
        lost_texts=[f"f{seq}" for seq in found.lost_texts],
        end_known=found.end_known,
        complete=found.complete,
        evidence=found.evidence,
        packs=sorted(packs),
        to_train_again=sum(len(carried) for carried in packs.values()),
        dry_run=dry_run,
    )


def _damaged_packs(layout: Layout, log: EditLog) -> dict[str, set[str]]:
    """The packs of experts in use whose bytes do not match their name, with those experts."""
    used = {fact.expert for fact in log.facts() if fact.expert and not fact.retracted_by}
    packs: dict[str, set[str]] = {}
    for expert, pack in packs_by_expert(log).items():
        if expert in used:
            packs.setdefault(pack, set()).add(expert)
    return {name: carried for name, carried in packs.items() if not _intact(layout.experts, name)}


def _intact(directory: Path, name: str) -> bool:
    try:
        return file_sha256(pack_path(directory, name)) == name
    except (OSError, IntegrityError):
        return False


def _put_aside(layout: Layout, names: list[str]) -> None:
    folder = layout.log / EVIDENCE / moment(utc_now()).replace(":", "").replace("-", "")
    durable.make_directory(folder)
    for name in names:
        path = pack_path(layout.experts, name)
        if path.exists():
            durable.rename(path, folder / path.name, point="evidence.pack")
    durable.sync_directory(folder, point="evidence.pack")
