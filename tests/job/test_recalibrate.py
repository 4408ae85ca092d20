"""Where thresholds may stay: a job keeps them in the log, the next serves them, and a rebuild makes the same."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

import lifelong
from editlog.events import Entry
from lifelong.snapshots.snapshot import current_id, read_manifest
from lifelong.workspace import Workspace


def applied(workspace: Workspace, place: str) -> dict[str, Any]:
    """Apply one more fact; the thresholds that are served then."""
    record = {"prompt": f"The mayor of {place} is", "target": "miller", "subject": place, "relation": "mayor"}
    workspace.ingest(io.BytesIO(json.dumps(record).encode()), actor="ada")
    assert workspace.run(actor="night").applied
    served = workspace.layout.snapshots / str(current_id(workspace.layout.snapshots))
    thresholds: dict[str, Any] = json.loads((served / "anchors.json").read_text())["thresholds"]
    return thresholds


@pytest.mark.slow
def test_thresholds_stay_from_job_to_job_and_through_a_rebuild(published: Workspace) -> None:
    with published.layout.config.open("a", encoding="utf-8") as config:
        config.write('\n[overrides.routing]\nrecalibrate = "grown"\nrecalibrate_growth = 0.1\n')
    workspace = lifelong.open(published.home)
    encoder = read_manifest(workspace.layout.snapshots, str(current_id(workspace.layout.snapshots))).encoder
    budget, earlier = {"near": 0.02, "unrelated": 0.001}, {"near": 9.0, "unrelated": None}
    body = {"thresholds": earlier, "facts": 12, "encoder": encoder, "budget": budget}
    workspace.log.append([Entry("gate.calibrated", body)], actor="night", job="job-1")
    assert applied(workspace, "Kirnach") == earlier, "13 facts: not a tenth more"
    assert workspace.rebuild(dry_run=True).identical
    now = applied(workspace, "Lindby")
    assert now["near"] != earlier["near"]
    event = workspace.log.events(kinds=["gate.calibrated"])[-1]
    assert (event.body["facts"], event.body["thresholds"], event.job) == (14, now, "job-3")
    assert workspace.rebuild(dry_run=True).identical
    assert workspace.log.verify() == []
