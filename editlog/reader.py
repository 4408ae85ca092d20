"""Reader: what can be asked of a log, wherever its tables are read from.

The log itself, the readers' replica of it, and the two together differ in how a visit to the tables is had, and in
nothing else. Every call sees one consistent position.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from editlog.endorsement import Endorsements, read_endorsements
from editlog.errors import UsageError
from editlog.events import Event
from editlog.fact import Probes
from editlog.happening import Happening, happenings
from editlog.head import Head
from editlog.history import LoggedFact, read_events, read_facts
from editlog.lookup import resolve, resolve_told, told_where
from editlog.position import AsOf, Position, position_of, seq_of
from editlog.texts import Remembered, probes_of_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from editlog.session import Clock


class Reader(ABC):
    """A log to be read. Raises Busy where it is held for too long, IntegrityError where it is damaged."""

    _clock: Clock

    @cached_property
    def _before(self) -> Remembered:
        return Remembered()

    @abstractmethod
    def visit(self) -> AbstractContextManager[tuple[DuckDBPyConnection, Head]]:
        """A connection with the tables `events` and `texts` under these names, and the position they stand at."""

    def head(self) -> Head:
        """Where the log stands."""
        with self.visit() as (_, position):
            return position

    def position(self, as_of: AsOf | None = None) -> Position:
        """What `as_of` means: an event's number, a job's end, a moment; None: now. Raises UsageError."""
        with self.visit() as (con, position):
            return position_of(con, position.seq, as_of, self._clock())

    def facts(self, *, as_of: AsOf | None = None) -> list[LoggedFact]:
        """Every unerased fact, in log order, with its standing now or at `as_of`; no probes."""
        with self.visit() as (con, position):
            return read_facts(con, seq_of(con, position.seq, as_of), before=self._before)

    def facts_among(self, seqs: Collection[int], *, as_of: AsOf | None = None) -> list[LoggedFact]:
        """Those of some facts that are not erased, as `facts` tells of them; no others are read but of their keys."""
        with self.visit() as (con, position):
            query = "SELECT DISTINCT key FROM texts WHERE seq IN (SELECT unnest(?::BIGINT[]))"
            keys = [key for (key,) in con.execute(query, [list(seqs)]).fetchall()]
            wanted = frozenset(seqs)
            return [fact for fact in read_facts(con, seq_of(con, position.seq, as_of), keys) if fact.seq in wanted]

    def probes_of(self, seqs: Collection[int]) -> dict[int, Probes]:
        """The probes of facts, by seq: to measure with, never to learn from."""
        with self.visit() as (con, _):
            rows = con.execute(
                "SELECT seq, probes FROM texts WHERE seq IN (SELECT unnest(?::BIGINT[])) ORDER BY seq",
                [list(seqs)],
            ).fetchall()
        return {seq: probes_of_row(probes) for seq, probes in rows}

    def events(
        self,
        *,
        kinds: Collection[str] | None = None,
        after: int = 0,
        as_of: AsOf | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        job: str | None = None,
        actor: str | None = None,
    ) -> list[Event]:
        """Events beyond `after`, up to `as_of`, in log order or `newest_first`, at most `limit` of them."""
        with self.visit() as (con, position):
            conditions = ["seq > $1"]
            parameters: list[Any] = [after]
            for condition, value in (
                ("kind IN (SELECT unnest(${}::VARCHAR[]))", None if kinds is None else list(kinds)),
                ("seq <= ${}", None if as_of is None else seq_of(con, position.seq, as_of)),
                ("job = ${}", job),
                ("actor = ${}", actor),
            ):
                if value is not None:
                    parameters.append(value)
                    conditions.append(condition.format(len(parameters)))
            order = f"ORDER BY seq {'DESC' if newest_first else 'ASC'}"
            if limit is not None:
                parameters.append(limit)
                order += f" LIMIT ${len(parameters)}"
            return read_events(con, " AND ".join(conditions), parameters, order)

    def resolve(self, ref: str, *, as_of: AsOf | None = None) -> LoggedFact:
        """The fact that `ref` means: f12, 12, the fact's own id, or at least 8 digits of its digest.

        Raises UsageError where no fact is meant, or where several may be and not exactly one governs.
        """
        with self.visit() as (con, position):
            return resolve(con, seq_of(con, position.seq, as_of), ref)

    def history(
        self,
        *,
        ref: str | None = None,
        subject: str | None = None,
        relation: str | None = None,
        prompt: str | None = None,
        as_of: AsOf | None = None,
    ) -> list[Happening]:
        """All that happened to one fact, or to the facts of a subject, relation or prompt, in order, up to `as_of`."""
        if (ref is None) == (subject is None and relation is None and prompt is None):
            raise UsageError("ask for the history of one fact, or of a subject, a relation or a prompt")
        with self.visit() as (con, position):
            seq = seq_of(con, position.seq, as_of)
            if ref is not None:
                fact, told = resolve_told(con, seq, ref)
                return happenings(con, seq, replace(told, facts=[fact]))
            return happenings(con, seq, told_where(con, seq, subject=subject, relation=relation, prompt=prompt))

    def lineage(self, ref: str, *, as_of: AsOf | None = None) -> tuple[list[Happening], list[LoggedFact]]:
        """The history of the fact that `ref` means, and all facts of its key, as `facts` tells of them."""
        with self.visit() as (con, position):
            seq = seq_of(con, position.seq, as_of)
            fact, told = resolve_told(con, seq, ref)
            return happenings(con, seq, replace(told, facts=[fact])), told.facts

    def endorsements(self, seqs: Collection[int]) -> dict[int, Endorsements]:
        """What the log has on facts, by seq: signatures, approvals and rejections, each signature checked."""
        with self.visit() as (con, position):
            return read_endorsements(con, position.workspace, position.seq, seqs)
