"""A job holds the log for its transactions only: while it trains, audits and publishes, others write and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from editlog.lock import locked
from editlog.replica import Replica
from lifelong.workspace import Workspace


class Onlooker:
    """Someone who would write whenever the job says how far it is, and who looks what readers see."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self.looks = workspace, 0
        self.stages: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.stages.append(name)
        self.look()

    def advance(self, n: int) -> None:
        self.look()

    def done(self) -> None:
        self.look()

    def look(self) -> None:
        with locked(self._workspace.layout.log, shared=False, timeout=0):
            self.looks += 1
        assert Replica.open(self._workspace.layout.replica).head() == self._workspace.reader.head()


def test_the_log_is_free_whenever_a_job_computes(
    workspace: Workspace, facts: tuple[dict[str, Any], ...], write_facts: Callable[..., Path]
) -> None:
    workspace.ingest(write_facts(facts[:6]), actor="ada")
    onlooker = Onlooker(workspace)
    assert len(workspace.run(actor="night", progress=onlooker).applied) == 6
    assert onlooker.stages[:2] == ["train", "audit"]
    assert onlooker.stages[-1] == "publish"
    assert onlooker.looks > 6
