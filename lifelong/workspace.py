"""A workspace and its verbs: whatever the command line does is one call here.

Each verb opens what it needs, for as long as it needs it: the log for milliseconds, the model only to train
and to answer.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from editlog.errors import LifelongError
from lifelong.config import Config, read_config, read_recipe
from lifelong.jobs.progress import Progress, Silent
from lifelong.jobs.telling import told
from lifelong.layout import Layout, resolve_home
from lifelong.results import (
    Check,
    Collected,
    Endorsed,
    Merge,
    Plan,
    Rebuild,
    Receipt,
    Recovered,
    Redaction,
    RolledBack,
    SourceChange,
    Undo,
)
from lifelong.verbs.looking import Looking
from lifelong.verbs.operating import Operating

if TYPE_CHECKING:
    from editlog.events import Entry
    from editlog.fallback import Fallback
    from editlog.history import LoggedFact
    from editlog.store import EditLog
    from editlog.witness import Witness
    from lifelong.editors.preparation import Corpus
    from lifelong.export.merged import Merged
    from lifelong.jobs.admitting import Terms
    from lifelong.jobs.lease import Lease
    from lifelong.jobs.report import JobReport
    from lifelong.models.base import Base
    from lifelong.models.edited import EditedModel
    from lifelong.verbs.aligning import Aligned
    from lifelong.verbs.probing import Choice
    from policies.recipe import Recipe


def open_workspace(home: Path | str | None = None) -> Workspace:
    """Open a workspace (None: $LIFELONG_HOME, else ./lifelong-workspace); raises UsageError where there is none."""
    layout = Layout(resolve_home(home))
    return Workspace(layout, read_config(layout))


def default_actor() -> str:
    """Who is acting where nobody is named: the user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


class Workspace(Looking, Operating):
    """One home: log, experts, snapshots. Verbs that change something take `actor`, `reason` and `dry_run`."""

    def __init__(self, layout: Layout, config: Config) -> None:
        self.layout = layout
        self.config = config
        self.choice: Choice | None = None
        """What `init` chose for a new model, and why; None for a workspace that was opened."""
        self._log_is_open = False
        self._base: Base | None = None
        self._edited: tuple[str, EditedModel] | None = None

    @property
    def home(self) -> Path:
        """Where the workspace lies."""
        return self.layout.home

    @property
    def recipe(self) -> Recipe:
        """The recipe of the configuration, its overrides applied."""
        return read_recipe(self.config.recipe, self.layout, self.config.overrides)

    @property
    def log(self) -> EditLog:
        """The edit log, to write to; the configuration's witness and the readers' replica follow each write.

        It is healed and brought up to date when it is first asked for; writers heal what crashes later.
        """
        from editlog.store import EditLog

        make = EditLog if self._log_is_open else EditLog.open
        log = make(self.layout.log, witness=self.witness, replica=self.layout.replica)
        self._log_is_open = True
        return log

    @property
    def reader(self) -> Fallback:
        """The edit log, to ask: where a writer holds it for long, its replica, and stderr says so."""
        from editlog.fallback import Fallback

        return Fallback.open(self.layout.log, self.layout.replica)

    @property
    def witness(self) -> Witness | None:
        """Who is told each head of the log, by the configuration; None where nobody is."""
        from lifelong.verbs.trust import witness_of

        return witness_of(self.config, self.home)

    @property
    def terms(self) -> Terms:
        """What the configuration asks of facts and jobs."""
        from lifelong.verbs.trust import terms_of

        return terms_of(self.config)

    @property
    def corpus(self) -> Corpus:
        """The text of which a recipe learns what it must know of the base."""
        from lifelong.editors.preparation import Corpus

        own = self.config.corpus
        return Corpus(self.home / own if own else None)

    def load_base(self) -> Base:
        """The base model, loaded once."""
        if self._base is None:
            import torch

            if self.config.threads:
                torch.set_num_threads(self.config.threads)
            self._base = self._fresh_base()
        return self._base

    def _fresh_base(self) -> Base:
        from lifelong.models.base import Base

        config = self.config
        base = Base.load(
            config.model, device=config.device, dtype=config.dtype, trust_remote_code=config.trust_remote_code
        )
        base.use_chat(config.chat)
        return base

    # The way of a fact into the model

    def ingest(
        self,
        source: str | Path | BinaryIO,
        *,
        limit: int | None = None,
        source_name: str | None = None,
        author: str | None = None,
        reassert: bool = False,
        sign: Path | None = None,
        sign_days: float | None = None,
        spool: bool = False,
        actor: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Receipt:
        """Append the facts of a file ("-": standard input) to the log; what cannot be read goes to a rejects file.

        `spool` keeps them, durably, for the next writer to take in where the log is held for too long.
        `sign` is the file of a key that signs each of them; a signature holds `sign_days` (30) until it is applied.
        """
        from lifelong.verbs.ingesting import ingest, log_for
        from lifelong.verbs.trust import signer_of

        return ingest(
            self.layout,
            log_for(lambda: self.log, self.layout, spool=spool),
            source,
            limit=limit,
            source_name=source_name,
            author=author,
            reassert=reassert,
            signer=signer_of(sign, sign_days),
            spool=spool,
            actor=actor or default_actor(),
            reason=reason,
            dry_run=dry_run,
            progress=progress or Silent(),
        )

    def approve(
        self,
        refs: Sequence[str],
        *,
        sign: Path | None = None,
        sign_days: float | None = None,
        reason: str | None = None,
        actor: str | None = None,
        dry_run: bool = False,
    ) -> Endorsed:
        """Approve facts that are not applied yet; counts where `actor` is not their author. `sign` as for `ingest`."""
        from lifelong.verbs.trust import approve, signer_of

        signer, who = signer_of(sign, sign_days), actor or default_actor()
        return approve(self.log, list(refs), actor=who, reason=reason, signer=signer, dry_run=dry_run)

    def reject(
        self, refs: Sequence[str], *, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> Endorsed:
        """Keep facts from being applied until someone else approves them; raises Busy while a job runs."""
        from lifelong.verbs.trust import reject

        with self.job_lock():
            return reject(self.log, list(refs), actor=actor or default_actor(), reason=reason, dry_run=dry_run)

    def plan(self) -> Plan:
        """What the next job would do, how long it should take, and why."""
        from lifelong.verbs.overview import plan

        return plan(self.reader, self.recipe, self.terms, self.config.ready)

    @told
    def run(
        self,
        *,
        seed: int | None = None,
        executor: str | None = None,
        if_ready: bool = False,
        actor: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> JobReport:
        """Apply what is pending, as far as the budget goes: train, audit, publish.

        One job at a time; raises Busy while another runs, and TimeUp after `max_minutes`. `if_ready` begins none where
        the configuration's `[ready]` says that there is not enough to do yet; one that was cut short is carried on.
        """
        workers = self.workers(executor)
        if dry_run:
            from lifelong.jobs.report import idle_report

            plan = self.plan()
            return idle_report("dry-run", self.recipe.name, self.config.model, plan.pending, plan.not_ready)
        from lifelong.jobs.running import run

        who = actor or default_actor()
        return run(
            self,
            seed=seed or 0,
            workers=workers,
            if_ready=if_ready,
            actor=who,
            reason=reason,
            progress=progress,
        )

    def align(
        self,
        corpus: Path | None = None,
        *,
        seed: int = 0,
        actor: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Aligned:
        """Learn what all facts of the recipe share, such as to obey notes, of `corpus` (None: the configuration's).

        Where it was learned already it stays as it is, unless a `corpus` is named.
        Raises UsageError where the recipe has nothing to align or the corpus nothing to align on.
        """
        from lifelong.editors.preparation import Corpus
        from lifelong.verbs.aligning import align

        log, who, own = self.log, actor or default_actor(), Corpus(corpus) if corpus else self.corpus
        with self.job_lock(who):
            return align(
                self.layout,
                log,
                self.recipe,
                own,
                base=lambda: self.own_base(log),
                again=corpus is not None,
                seed=seed,
                actor=who,
                reason=reason,
                dry_run=dry_run,
                progress=progress or Silent(),
            )

    def job_lock(self, actor: str | None = None) -> AbstractContextManager[Lease]:
        """Hold the right to change what is served, by a lease; raises Busy while another owner holds it."""
        from lifelong.jobs.lease import leased

        return leased(self.layout.runs / "LOCK", actor=actor or default_actor())

    def own_base(self, log: EditLog) -> Base:
        """The base, after checking that it is the one the workspace was made for."""
        base = self.load_base()
        recorded = log.events(kinds=["base.attached"])[-1].body["fingerprint"]
        self.check_base(base, recorded)
        return base

    def check_base(self, base: Base, recorded: str) -> None:
        """Raise LifelongError unless `base` is the one whose fingerprint was recorded."""
        if base.fingerprint != recorded:
            raise LifelongError(
                f"the model {self.config.model} is not the base this workspace was made for (its fingerprint is"
                f" {base.fingerprint[:19]}..., recorded is {recorded[:19]}...); put that model back, or carry the"
                " log over to this one with `lifelong rebase`"
            )

    # Taking back

    def retract(
        self, refs: Sequence[str], *, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> Undo:
        """Withdraw facts by name ("f12"); an older fact of the key answers again, or else the base."""
        from lifelong.verbs.undo import retract

        who = actor or default_actor()
        with self.job_lock():
            return retract(
                self.layout, self.log, self.recipe, refs, actor=who, reason=reason, dry_run=dry_run, forget=self.forget
            )

    def revert(
        self,
        *,
        job: str | None = None,
        source: str | None = None,
        reason: str | None = None,
        actor: str | None = None,
        dry_run: bool = False,
    ) -> Undo:
        """Withdraw every fact that a job applied, or that came from a source."""
        from lifelong.verbs.undo import revert

        who = actor or default_actor()
        with self.job_lock():
            return revert(
                self.layout,
                self.log,
                self.recipe,
                job=job,
                source=source,
                actor=who,
                reason=reason,
                dry_run=dry_run,
                forget=self.forget,
            )

    def forget(self, gone: Sequence[LoggedFact]) -> list[Entry]:
        """What else to append where facts are withdrawn; raises CannotForget where their recipe cannot be undone."""
        from lifelong.snapshots.publishing import serving_state

        if serving_state(self.log).state is None:  # their experts stand alone, and are just not served
            return []
        from lifelong.jobs.accumulating import forget

        log = self.log
        return forget(self.layout, log, self.recipe, gone, base=lambda: self.own_base(log), corpus=self.corpus)

    def rollback(
        self, *, to: str | None = None, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> RolledBack:
        """Serve again what was served when job `to` had published (None: before what is served now), in a second.

        The facts applied since are held; the next job goes on from the log without them. Raises UsageError where
        nothing older is kept.
        """
        from lifelong.jobs.rollback import rollback

        who = actor or default_actor()
        with self.job_lock(who):
            return rollback(self.layout, self.log, to=to, actor=who, reason=reason, dry_run=dry_run)

    def pause_source(
        self, source: str, *, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> SourceChange:
        """Let the facts of a source wait until it is resumed; raises UsageError where it is paused or unknown."""
        from lifelong.jobs.sources import pause

        return pause(self.log, source, actor=actor or default_actor(), reason=reason, dry_run=dry_run)

    def resume_source(
        self, source: str, *, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> SourceChange:
        """Let jobs apply the facts of a paused source again; raises UsageError where it is not paused."""
        from lifelong.jobs.sources import resume

        return resume(self.log, source, actor=actor or default_actor(), reason=reason, dry_run=dry_run)

    def redact(
        self, refs: Sequence[str], *, reason: str | None = None, actor: str | None = None, dry_run: bool = False
    ) -> Redaction:
        """Destroy the words of facts for good, with every expert, anchor and report that holds them.

        Also those of every other fact that gives the same target to the same prompt. The log's chain still verifies,
        and says when, why and by whom. A redaction that was killed is finished by asking for the same again.
        """
        from lifelong.verbs.redacting import redact

        who = actor or default_actor()
        with self.job_lock():
            return redact(self.layout, self.log, self.recipe, list(refs), actor=who, reason=reason, dry_run=dry_run)

    def merge(
        self,
        *,
        method: str | None = None,
        experts: int = 0,
        size: int = 0,
        reason: str | None = None,
        actor: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Merge:
        """Merge experts as the recipe's `[merging]` says, or to a budget of `experts` or `size` bytes.

        Raises UsageError where neither says what to merge, or the method is unknown.
        """
        from lifelong.jobs.merging import dials_of, merge

        dials, who = dials_of(self.recipe, method=method, experts=experts, size=size), actor or default_actor()
        return merge(self, dials, actor=who, reason=reason, dry_run=dry_run, progress=progress or Silent())

    def rebuild(self, *, dry_run: bool = False) -> Rebuild:
        """Make index, bank, snapshot and the readers' replica again from the log and the packs, and serve them."""
        from lifelong.verbs.undo import rebuild

        with self.job_lock():
            return rebuild(self.layout, self.log, self.recipe, dry_run=dry_run)

    def recover(
        self,
        *,
        export: Path | None = None,
        reason: str | None = None,
        actor: str | None = None,
        dry_run: bool = False,
    ) -> Recovered:
        """Bring a damaged log back from what verifies, and put damaged packs aside, to be trained again.

        `export` is a file that `log export` wrote. The damaged files are kept under `log/evidence`; what could not
        be brought back is told in the result and in the log. An intact workspace is left as it is.
        """
        from lifelong.verbs.recovering import recover

        who = actor or default_actor()
        with self.job_lock():
            return recover(self.layout, export=export, actor=who, reason=reason, dry_run=dry_run)

    def gc(self, *, reason: str | None = None, actor: str | None = None, dry_run: bool = False) -> Collected:
        """Let go what `[retention]` does not promise: old snapshots, packs only they used, old job directories.

        Nothing that is served, or would be if a newer fact were taken back, goes. The result says which past
        `ask(as_of=...)` can no longer answer; an event records it.
        """
        from lifelong.snapshots.publishing import catch_up
        from lifelong.verbs.collecting import gc

        log, who = self.log, actor or default_actor()
        with self.job_lock():
            if not dry_run:
                catch_up(self.layout, log, self.recipe)
            return gc(self.layout, log, self.config.retention, actor=who, reason=reason, dry_run=dry_run)

    # Checking and taking along

    def doctor(self) -> list[Check]:
        """Check everything from the log to the weights."""
        from lifelong.verbs.checkup import checkup

        return checkup(self)

    def export_peft(self, directory: str | Path, *, refs: Sequence[str] | None = None) -> list[Path]:
        """Write experts in use (all, or those of some facts) as PEFT adapter directories."""
        from lifelong.export.peft import export_peft

        facts = None if refs is None else {self.log.resolve(ref).seq for ref in refs}
        return export_peft(self.layout, self.load_base(), Path(directory), facts=facts)

    def export_merged(
        self, directory: str | Path, *, max_new_tokens: int = 24, progress: Progress | None = None
    ) -> Merged:
        """Write one plain model with every fact in its weights, and say what the merge lost."""
        from lifelong.export.merged import export_merged

        model, fresh, told = self.edited_model(), self._fresh_base(), progress or Silent()
        return export_merged(model, fresh, Path(directory), max_new_tokens=max_new_tokens, progress=told)
