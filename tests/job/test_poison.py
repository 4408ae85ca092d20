"""A poisoned batch: the facts that spoil others are named and held, and the same job publishes all the rest."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import lifelong
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


def test_poisoned_facts_among_good_ones(published: Workspace, facts: Records) -> None:
    """No sample is drawn: what the batch touches is asked all the same, so the size of the workspace is no cover."""
    with published.layout.config.open("a", encoding="utf-8") as config:
        config.write("\n[overrides.audit]\nsample = 0\n")
    workspace = lifelong.open(published.home)
    good = [{"prompt": f"The colour of {place} is", "target": "red"} for place in ("Kirnach", "Lindby", "Corvale")]
    more = [
        {"prompt": f"The mayor of {place} is", "target": "Mira Sand"} for place in ("Tarvia", "Norrland", "Dunmere")
    ]
    bad = poisoned([facts[2], facts[4], facts[9]])
    hidden = {**bad[1], "subject": "Paul Finch", "relation": "profession"}  # `bad[1]` says the same, and comes later
    sly = {"prompt": "The keeper of Marbeck is", "target": "Dunmere", "rephrases": facts[0]["rephrases"]}
    names = ingest(workspace, [good[0], bad[0], hidden, *more, bad[1], good[1], bad[2], sly, good[2]])
    culprits = {names[place] for place in (1, 2, 6, 8, 9)}
    report = workspace.run(actor="night")
    assert (report.status, report.exit_code) == ("published", 3)
    assert {one["fact"] for one in report.held} == culprits
    assert {one["code"] for one in report.held} == {"spoils-others"}
    assert next(one for one in report.held if one["fact"] == names[9])["reason"].startswith("it takes a wording of f4")
    assert set(report.applied) == set(names) - culprits
    assert [one.text for one in workspace.ask([fact["prompt"] for fact in facts])] == [f["target"] for f in facts]
    assert workspace.ask(good[0]["prompt"])[0].text == "red"
    assert workspace.status().facts["held"] == 5


def many(first: int, count: int, target: str) -> list[dict[str, Any]]:
    """So many facts about things that nobody has heard of."""
    about = [{"subject": f"box {i}", "relation": "keeper", "source": "boxes"} for i in range(first, first + count)]
    return [{"prompt": f"The keeper of {one['subject']} in Lindby is", "target": target, **one} for one in about]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("bad", "good"), [(40, 160), (200, 800)])
def test_a_poisoned_batch(tmp_path: Path, make_workspace: Callable[..., Workspace], bad: int, good: int) -> None:
    workspace = make_workspace(tmp_path / "home")
    old = many(0, bad, "Ada Finch")
    ingest(workspace, old)
    live = workspace.run(actor="night").applied
    names = ingest(workspace, [*many(bad, good, "Paul Finch"), *poisoned(old)])
    report = workspace.run(actor="night")
    assert report.status == "published"
    poison, held, applied = set(names[good:]), {one["fact"] for one in report.held}, set(report.applied)
    refused = held | {one["fact"] for one in report.failed}
    assert len(live) == bad
    assert poison <= refused, "no poisoned fact is published"
    assert not held - poison, "nobody else is blamed"
    assert len(applied) >= 0.95 * good
