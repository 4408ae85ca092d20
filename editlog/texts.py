"""The side table `texts`: the one place where the words of a fact lie, beside the secret of its commitment.

A fact goes in as columns and comes out as the very record its commitment was made over. Probes come out
only by `probes_of_row`: what a job reads through `fact_of_row` has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from editlog.canonical import canonical_words
from editlog.fact import Fact, NearMiss, Probes

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WORDS = ("prompt", "target", "subject", "relation", "source", "author", "id")
MOMENTS = ("valid_from", "valid_to")
MORE = ("rephrases", "near_misses")

# What `fact_of_row` and `record_of_row` read, in this order; a query may select further columns behind.
COLUMNS = ("prompt", "target", "subject", "relation", "source", "author", "id", *MOMENTS, "more")

_NO_PROBES = Probes()
_MOST_REMEMBERED = 1 << 17
_FEW = 256
"""So many seqs are written out in a query, so that DuckDB skips the row groups in which none of them lies."""


def naive(at: datetime) -> datetime:
    """An aware moment as the database holds it: UTC without saying so."""
    return at.astimezone(UTC).replace(tzinfo=None)


def more_of(record: Mapping[str, Any]) -> str | None:
    """The parts of a record that are lists to learn from, as canonical JSON; None where it has none."""
    more = {name: record[name] for name in MORE if name in record}
    return canonical_words(more).decode() if more else None


def fact_of_row(row: Sequence[Any]) -> Fact:
    """The fact of a row that starts with COLUMNS, without probes; it was validated when it was written."""
    prompt, target, subject, relation, source, author, identifier, valid_from, valid_to, more = row[:10]
    lists = json.loads(more) if more else {}
    return Fact.model_construct(
        prompt=prompt,
        target=target,
        subject=subject,
        relation=relation,
        rephrases=tuple(lists.get("rephrases", ())),
        near_misses=tuple(NearMiss.model_construct(**miss) for miss in lists.get("near_misses", ())),
        probes=_NO_PROBES,
        source=source,
        author=author,
        valid_from=valid_from and valid_from.replace(tzinfo=UTC),
        valid_to=valid_to and valid_to.replace(tzinfo=UTC),
        id=identifier,
    )


class Remembered:
    """Facts as they were read before, so that reading a log once more costs what is new in it.

    What is remembered of a seq counts only beside the hash of its event, which covers the fact's commitment; whoever
    was erased since is asked for no more, and forgotten.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Fact]] = {}

    def facts(self, con: DuckDBPyConnection, named: Sequence[tuple[int, Any]]) -> list[Fact]:
        """The facts of some (seq, hash of the event), in their order."""
        before = self._known
        known = {seq: before[seq] for seq, name in named if seq in before and before[seq][0] == name}
        if new := {seq: name for seq, name in named if seq not in known}:
            few = len(new) <= _FEW
            chosen = ", ".join(map(str, new)) if few else "SELECT unnest(?::BIGINT[])"
            query = f"SELECT {', '.join(COLUMNS)}, seq FROM texts WHERE seq IN ({chosen})"
            for row in con.execute(query, [] if few else [list(new)]).fetchall():
                known[row[-1]] = (new[row[-1]], fact_of_row(row))
        self._known = known if len(known) <= _MOST_REMEMBERED else {}
        return [known[seq][1] for seq, _ in named]


def record_of_row(row: Sequence[Any], probes: str | None) -> dict[str, Any]:
    """The fact's record, as `Fact.record` gave it when it was written; `row` starts with COLUMNS."""
    record = {name: words for name, words in zip(WORDS, row, strict=False) if words is not None}
    for name, at in zip(MOMENTS, row[7:9], strict=True):
        if at is not None:
            record[name] = at.isoformat() + "Z"
    record.update(json.loads(row[9]) if row[9] else {})
    if probes is not None:
        record["probes"] = json.loads(probes)
    return record


def probes_of_row(probes: str | None) -> Probes:
    """The probes of a fact, to measure with and nothing else."""
    return Probes.model_validate_json(probes) if probes else Probes()
