"""The verbs that change nothing: answers, overviews, and every question about what was and why.

`Workspace` is this and the verbs that change something. What takes `as_of` answers as the log stood then (an event's
number, a job, or a moment; None: now), and by that day's clock; `valid_at` is another moment in the world (aware).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifelong.config import Config
from lifelong.layout import Layout
from lifelong.results import Answer, Blame, ExpertHeld, ExpertRow, RouteExplanation, SourceRow, Status

if TYPE_CHECKING:
    from editlog.diff import LogDiff
    from editlog.fallback import Fallback
    from editlog.position import AsOf
    from editlog.query import QueryResult
    from editlog.store import EditLog
    from lifelong.editors.preparation import Corpus
    from lifelong.evaluation.metrics import Metrics
    from lifelong.jobs.progress import Progress
    from lifelong.models.base import Base
    from lifelong.models.chat import Messages
    from lifelong.models.edited import EditedModel
    from lifelong.snapshots.past import Served
    from policies.recipe import Recipe


class Looking(ABC):
    """A home that can be looked at; `Workspace` brings the log, the base and the verbs that change something."""

    layout: Layout
    config: Config
    _edited: tuple[str, EditedModel] | None
    _overlaid: tuple[tuple[EditedModel, int], EditedModel] | None = None

    @property
    @abstractmethod
    def log(self) -> EditLog:
        """The edit log."""

    @property
    @abstractmethod
    def reader(self) -> Fallback:
        """The edit log, to ask: or its replica, where a writer holds it for long."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """The recipe of the configuration."""

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """The text of which a recipe learns what it must know of the base."""

    @abstractmethod
    def load_base(self) -> Base:
        """The base model, loaded once."""

    @abstractmethod
    def check_base(self, base: Base, recorded: str) -> None:
        """Raise LifelongError unless `base` is the one whose fingerprint was recorded."""

    # Answers

    def edited_model(self, *, as_of: AsOf | None = None) -> EditedModel:
        """The model of the snapshot that is served, or was at `as_of`; kept until another snapshot is asked for."""
        return self._model_of(self._served(as_of).snapshot)

    def _served(self, as_of: AsOf | None) -> Served:
        """Which snapshot answers; the log is opened only to look back."""
        from lifelong.snapshots.past import Served, served_at
        from lifelong.snapshots.snapshot import published_id

        if as_of is None:
            return Served(published_id(self.layout.snapshots), None, None)
        return served_at(self.layout, self.reader, as_of)

    def _model_of(self, snapshot_id: str) -> EditedModel:
        from lifelong.editors import editor_of
        from lifelong.models.edited import EditedModel
        from lifelong.snapshots.snapshot import read_snapshot

        if self._edited is None or self._edited[0] != snapshot_id:
            snapshot = read_snapshot(self.layout.snapshots, snapshot_id)
            base = self.load_base()
            self.check_base(base, snapshot.manifest.base)
            editor = editor_of(self.recipe, self.corpus)
            self._edited = snapshot_id, EditedModel.of(base, snapshot, self.layout.experts, editor=editor)
        return self._edited[1]

    def _asked(self, served: Served) -> EditedModel:
        """The model that answers: a past one as it was served, today's with pending facts where the recipe says so."""
        model, recipe = self._model_of(served.snapshot), self.recipe
        if served.as_of is not None or recipe.routing.pending == "none":
            return model
        from lifelong.jobs.planning import waiting
        from lifelong.snapshots.pending import with_pending
        from lifelong.verbs.trust import terms_of

        log = self.reader
        key = model, log.position().seq
        if self._overlaid is None or self._overlaid[0] != key:
            logged = log.facts(as_of=key[1])
            found = waiting(log, logged, terms_of(self.config))
            self._overlaid = key, with_pending(model, logged, found.facts, recipe)
        return self._overlaid[1]

    def ask(
        self,
        prompts: str | Sequence[str | Messages],
        *,
        edits: bool = True,
        why: bool = False,
        as_of: AsOf | None = None,
        valid_at: datetime | None = None,
        max_new_tokens: int = 32,
        user: str | None = None,
        request_id: str | None = None,
        **generate: Any,
    ) -> list[Answer]:
        """Answer prompts, mixed hits and misses in one batch; `generate` goes to transformers' `generate`.

        Of a chat model, a conversation (a list of messages with `role` and `content`, the last one the user's) may
        stand for a prompt: its last turn is routed, all of it is read.
        `as_of` answers with the experts, anchors, encoder and thresholds that were served then; raises UsageError
        where they are no longer kept. `why` adds what the base says. With `response_log` in the configuration the
        answers are recorded before they are returned, as told to `user` under `request_id` (None: a random one);
        raises LifelongError, and gives no answer, where they cannot be.
        """
        from lifelong.models.chat import turn_of
        from lifelong.verbs.asking import ask, record

        listed = [prompts] if isinstance(prompts, str) else prompts
        asked = [prompt if isinstance(prompt, str) else turn_of(prompt) for prompt in listed]
        served = self._served(as_of)
        answers = ask(
            self._asked(served),
            asked,
            edits=edits,
            why=why,
            as_of=served.as_of,
            valid_at=valid_at or served.at,
            max_new_tokens=max_new_tokens,
            **generate,
        )
        if self.config.response_log:
            moment = valid_at or served.at
            record(self.layout, answers, served.snapshot, user=user, request_id=request_id, valid_at=moment)
        return answers

    def stream(
        self,
        prompt: str,
        *,
        edits: bool = True,
        as_of: AsOf | None = None,
        valid_at: datetime | None = None,
        max_new_tokens: int = 32,
        user: str | None = None,
        request_id: str | None = None,
        **generate: Any,
    ) -> Iterator[str]:
        """The pieces of one answer as they are generated; the response log is told of it when it ends."""
        from lifelong.verbs.asking import record, stream

        served = self._served(as_of)
        model, moment = self._asked(served), valid_at or served.at

        def told(answer: Answer) -> None:
            if self.config.response_log:
                record(self.layout, [answer], served.snapshot, user=user, request_id=request_id, valid_at=moment)

        return stream(model, prompt, edits=edits, valid_at=moment, max_new_tokens=max_new_tokens, told=told, **generate)

    def evaluate(
        self, path: str | Path | None = None, *, limit: int | None = None, progress: Progress | None = None
    ) -> Metrics:
        """Measure the served model on the records of a file and their probes, or (None) on all that it serves.

        Nothing is learned from them.
        """
        if path is None:
            from lifelong.evaluation.live import evaluate_live

            return evaluate_live(
                self.edited_model(),
                recipe=self.config.recipe,
                model=self.config.model,
                experts=self.experts(),
                limit=limit,
                progress=progress,
            )
        from lifelong.evaluation.run import evaluate_file

        return evaluate_file(
            self.edited_model(),
            path,
            recipe=self.config.recipe,
            model=self.config.model,
            experts=self.experts(),
            limit=limit,
            progress=progress,
        )

    # Overviews

    def status(self, *, as_of: AsOf | None = None, valid_at: datetime | None = None) -> Status:
        """What is live, what is pending and since when, what the last job did; of the facts that hold at `valid_at`."""
        from lifelong.verbs.overview import status

        return status(self.layout, self.reader, self.config, as_of=as_of, valid_at=valid_at)

    def experts(self, *, as_of: AsOf | None = None, valid_at: datetime | None = None) -> list[ExpertRow]:
        """The experts in use, with those of their facts that hold at `valid_at` (None: whenever they hold)."""
        from lifelong.snapshots.snapshot import current_id
        from lifelong.verbs.overview import expert_rows

        if as_of is None and current_id(self.layout.snapshots) is None:
            return []
        return expert_rows(self.layout, self._served(as_of), valid_at=valid_at)

    def expert(self, prefix: str, *, as_of: AsOf | None = None, valid_at: datetime | None = None) -> ExpertHeld:
        """One expert, in use or not, and every fact it holds; `prefix` is its hash or the beginning of it."""
        from lifelong.verbs.tracing import expert_held

        return expert_held(self.layout, self.reader, prefix, as_of=as_of, valid_at=valid_at)

    def sources(self, *, as_of: AsOf | None = None) -> list[SourceRow]:
        """Every source that a fact names, how its facts fare, and whether it is paused."""
        from lifelong.jobs.sources import source_rows

        return source_rows(self.reader, as_of=as_of)

    # What was, and why

    def explain(self, prompt: str, *, as_of: AsOf | None = None, valid_at: datetime | None = None) -> RouteExplanation:
        """The gate's decision on a prompt, and the candidates it weighed."""
        from lifelong.verbs.tracing import explain

        return explain(self.layout, self._served(as_of), prompt, valid_at=valid_at)

    def blame(self, prompt: str, *, as_of: AsOf | None = None, valid_at: datetime | None = None) -> Blame:
        """A prompt's answer traced to the fact, the person, the job and the expert behind it."""
        from lifelong.verbs.tracing import blame

        return blame(self.layout, self.reader, self._served(as_of), prompt, valid_at=valid_at)

    def diff(self, first: AsOf, last: AsOf | None = None, *, valid_at: datetime | None = None) -> LogDiff:
        """What changed between two positions of the log, the answers included; see `editlog.diff.diff`."""
        from editlog.diff import diff

        return diff(self.reader, first, last, valid_at=valid_at)

    def query(
        self, sql: str, *, as_of: AsOf | None = None, valid_at: datetime | None = None, rows: int = 10_000
    ) -> QueryResult:
        """Answer one SELECT over the views of docs/QUERIES.md, in a sandbox; see `editlog.query.query`."""
        from editlog.query import query

        return query(self.reader, sql, as_of=as_of, valid_at=valid_at, rows=rows)
