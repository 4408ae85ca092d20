"""After a power failure while packs and snapshots are published, a whole snapshot is served with all its packs.

And each fsync earns its keep: without any one of them, some failure at some moment loses what was served.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation, violations, without

from editlog.errors import IntegrityError

# Two publishes, as a job ends: the pack, then the snapshot, then CURRENT; each is acknowledged once it has returned.
PUBLISH = """
import sys
from pathlib import Path
import torch
from editlog.fact import Fact
from lifelong.experts.expert import Expert, LowRank
from lifelong.experts.pack import write_pack
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import serve, write_snapshot

home = Path(sys.argv[1])

class Gate:
    def save(self, directory):
        (directory / "anchors.json").write_bytes(b"{}")

facts, packs = [], []
for number in (1, 2):
    expert = Expert((f"fact-{number}",), {"site": LowRank(torch.ones(1, 2) * number, torch.ones(2, 1))}, "r", "b")
    packs.append(write_pack(home / "experts", [expert]))
    fact = Fact(prompt=f"Prompt {number} is", target="one")
    at = "2026-11-21T00:00:00.000000Z"
    facts.append(Served(seq=number, fact=fact, actor="ada", recorded_at=at, job="job-1", expert=expert.hash))
    log = {"seq": number, "hash": "h"}
    snapshot = write_snapshot(
        home / "snapshots", facts=facts, gate=Gate(), log=log, base="b", encoder="e", packs=packs
    )
    serve(home / "snapshots", snapshot)
    (home / "ACK").open("w").close()
"""
SYNCS = (
    "directory.sync_directory",
    "pack.sync",
    "pack.sync_directory",
    "snapshot.file.sync",
    "snapshot.inside.sync_directory",
    "snapshot.sync_directory",
    "current.sync",
    "current.sync_directory",
)


def violation(crash: Crash, home: Path) -> str | None:
    """What a power failure has broken; None where the last snapshot that was acknowledged, or the next, is served."""
    from lifelong.experts.pack import read_pack
    from lifelong.snapshots.snapshot import current_id, read_snapshot

    crash.write(home)
    try:
        snapshot = current_id(home / "snapshots")
        if snapshot is None:
            return f"{crash.what}: nothing is served" if crash.acknowledged else None
        served = read_snapshot(home / "snapshots", snapshot)
        for name in served.manifest.packs:
            read_pack(home / "experts", name)
    except IntegrityError as error:
        return f"{crash.what}: {error}"
    if not crash.acknowledged <= len(served.facts) <= crash.acknowledged + 1:
        return f"{crash.what}: {len(served.facts)} facts are served, {crash.acknowledged} were acknowledged"
    return None


def test_a_publish_survives_a_power_failure_at_sampled_moments(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = powerloss.crashes(record(PUBLISH))
    assert list(violations(crashes, violation, tmp_path / "home", step=12)) == []


@pytest.mark.crash
def test_a_publish_survives_a_power_failure_at_any_moment(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = list(powerloss.crashes(record(PUBLISH)))
    assert list(violations(crashes, violation, tmp_path / "home")) == []
    print(f"power failure during publish: {len(crashes)} distinct trees, each with a whole snapshot and its packs")


@pytest.mark.crash
@pytest.mark.parametrize("site", SYNCS)
def test_without_any_one_fsync_a_publish_is_lost(
    record: Callable[[str], list[Operation]], tmp_path: Path, site: str
) -> None:
    crashes = powerloss.crashes(record(without(site, PUBLISH)))
    found = next(violations(crashes, violation, tmp_path / "home"), None)
    assert found, f"{site} is not needed, or this test does not see what it is for"
    print(f"without {site}: {found}")
