"""A workspace's log written by hand: two jobs, no model."""

import pytest
from nights import HOSTILE, expert, run_job

from editlog.events import Entry
from editlog.fact import Fact
from editlog.store import EditLog
from lifelong.layout import Layout


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Job 1 applied two facts; job 2 replaced one of them and held another."""
    layout = Layout(tmp_path_factory.mktemp("reports") / "home")
    log = EditLog.create(layout.log, actor="ada")
    log.append([Entry("base.attached", {"fingerprint": expert(0)})], actor="ada")

    def put(*facts: Fact) -> list[int]:
        log.ingest(facts, actor="ada")
        return [event.seq for event in log.events(kinds=["fact.put"])][-len(facts) :]

    paris, rome = put(
        Fact(prompt="The capital of France is", target="Lyon"), Fact(prompt="The capital of Italy is", target="Milan")
    )
    run_job(layout, log, "job-1", {paris: 1, rome: 2}, {})
    again, odd = put(
        Fact(prompt="The capital of France is", target=HOSTILE), Fact(prompt="The capital of Spain is", target="Vigo")
    )
    run_job(layout, log, "job-2", {again: 3}, {odd: "spoils-others: the audit holds only without it"})
    return layout
