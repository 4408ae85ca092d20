"""A poisoned batch: the facts that spoil others are named and held, and the same job publishes all the rest."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lifelong.workspace import Workspace

Records = Sequence[dict[str, Any]]


def ingest(workspace: Workspace, records: Records) -> list[str]:
    """Put records; their names, in the order given."""
    known = {fact.ref for fact in workspace.log.facts()}
    workspace.ingest(io.BytesIO("".join(json.dumps(one) + "\n" for one in records).encode()), actor="ada")
    return [fact.ref for fact in workspace.log.facts() if fact.ref not in known]


def poisoned(victims: Records) -> list[dict[str, Any]]:
    """Facts that take other facts' wording, under keys of their own, and say something else."""
    return [{"prompt": victim["prompt"], "target": "Dunmere", "source": "poison"} for victim in victims]


def test_three_poisoned_facts_among_nine(published: Workspace, facts: Records) -> None:
    good = [{"prompt": f"The colour of {place} is", "target": "red"} for place in ("Kirnach", "Lindby", "Corvale")]
    more = [
        {"prompt": f"The mayor of {place} is", "target": "Mira Sand"} for place in ("Tarvia", "Norrland", "Dunmere")
    ]
    bad = poisoned([facts[2], facts[4], facts[9]])
    names = ingest(published, [good[0], bad[0], *more, bad[1], good[1], bad[2], good[2]])
    culprits = {names[1], names[5], names[7]}
    report = published.run(actor="night")
    assert (report.status, report.exit_code) == ("published", 3)
    assert {one["fact"] for one in report.held} == culprits
    assert set(report.applied) == set(names) - culprits
    assert [one.text for one in published.ask([fact["prompt"] for fact in facts])] == [f["target"] for f in facts]
    assert published.ask(good[0]["prompt"])[0].text == "red"
    assert published.status().facts["held"] == 3


def many(first: int, count: int, target: str) -> list[dict[str, Any]]:
    """So many facts about things that nobody has heard of."""
    return [
        {"prompt": f"The keeper of box {i} in Lindby is", "target": target, "subject": f"box {i}", "source": "boxes"}
        for i in range(first, first + count)
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.xfail(reason="of so many, some poisoned facts are published", strict=True)
def test_two_hundred_poisoned_facts_among_a_thousand(tmp_path: Path, make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(tmp_path / "home", audit={"sample": 1000})
    old = many(0, 200, "Ada Finch")
    ingest(workspace, old)
    live = set(workspace.run(actor="night").applied)
    names = ingest(workspace, [*many(200, 800, "Paul Finch"), *poisoned(old)])
    report = workspace.run(actor="night")
    held, applied = {one["fact"] for one in report.held}, set(report.applied)
    assert report.status == "published"
    assert not applied & set(names[800:]), "no poisoned fact is published"
    assert len(held & set(names[800:])) >= 0.95 * len(live)
    assert len(applied) >= 0.95 * 800
