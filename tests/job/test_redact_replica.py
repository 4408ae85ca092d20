"""A redaction is done only once the readers' replica is without the words, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from editlog import replica
from editlog.errors import Busy
from editlog.lock import locked
from lifelong.workspace import Workspace


def words(directory: Path) -> Iterator[str]:
    for path in directory.glob("*.parquet"):
        yield str(pyarrow.parquet.read_table(path).to_pylist())


def test_a_redaction_that_cannot_reach_the_replica_says_so_and_is_finished_later(
    published: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_PATIENCE", 0.1)
    fact = published.log.facts()[0]
    place = published.layout.replica
    assert any(fact.fact.prompt in said for said in words(place))
    with locked(place, shared=False, timeout=1), pytest.raises(Busy):
        published.redact([fact.ref], actor="ada", reason="asked to")
    assert any(fact.fact.prompt in said for said in words(place))
    assert published.redact([fact.ref], actor="ada", reason="asked to").already_redacted
    assert not any(fact.fact.prompt in said for said in words(place))
    assert published.log.verify() == []
