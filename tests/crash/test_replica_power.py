"""After a power failure at any moment of a refresh there is a whole replica, at least as new as promised.

And each of its fsyncs earns its keep. The log lies elsewhere here: what it survives is shown in test_power_failure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation, violations, without

from editlog.errors import Busy, IntegrityError, UsageError
from editlog.replica import Replica

REFRESHES, STEP = 3, 4
# Segments of two events, so that full ones are written, kept and superseded; each step is done once it has returned.
REFRESH = f"""
import sys, tempfile
from pathlib import Path
from editlog import segments
from editlog.fact import Fact
from editlog.replica import refresh
from editlog.store import EditLog, utc_now

segments.SMALL, segments.LARGE = 2, 6
home = Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    log = EditLog.create(Path(folder) / "log", actor="ada")
    for step in range({REFRESHES}):
        log.ingest([Fact(prompt=f"Prompt {{step}} {{n}} is", target="one") for n in range({STEP - 1})], actor="ada")
        refresh(log, home / "replica", utc_now())
        (home / "ACK").open("w").close()
"""
SYNCS = (
    "directory.sync_directory",
    "replica.segment.sync",
    "replica.segments.sync_directory",
    "replica.manifest.sync",
    "replica.manifest.sync_directory",
)


def violation(crash: Crash, home: Path) -> str | None:
    """What a power failure has broken; None where the replica is whole and as new as was promised."""
    directory = crash.write(home) / "replica"
    least = 1 + STEP * crash.acknowledged
    try:
        replica = Replica.open(directory, verify=True)
        seq, events = replica.head().seq, replica.events()
    except UsageError as error:  # no replica
        return f"{crash.what}: {error}" if crash.acknowledged else None
    except (IntegrityError, Busy) as error:
        return f"{crash.what}: {error}"
    if [event.seq for event in events] != list(range(1, seq + 1)) or not least <= seq <= least + STEP:
        return f"{crash.what}: {len(events)} events at event {seq}, at least {least} were promised"
    return None


def test_a_refresh_survives_a_power_failure_at_sampled_moments(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = powerloss.crashes(record(REFRESH))
    assert list(violations(crashes, violation, tmp_path / "home", step=12)) == []


@pytest.mark.crash
def test_a_refresh_survives_a_power_failure_at_any_moment(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = list(powerloss.crashes(record(REFRESH)))
    assert list(violations(crashes, violation, tmp_path / "home")) == []
    print(f"power failure during a refresh: {len(crashes)} distinct trees, a whole replica in each")


@pytest.mark.crash
@pytest.mark.parametrize("site", SYNCS)
def test_without_any_one_fsync_the_replica_is_torn_or_old(
    record: Callable[[str], list[Operation]], tmp_path: Path, site: str
) -> None:
    crashes = powerloss.crashes(record(without(site, REFRESH)))
    found = next(violations(crashes, violation, tmp_path / "home"), None)
    assert found, f"{site} is not needed, or this test does not see what it is for"
    print(f"without {site}: {found}")
