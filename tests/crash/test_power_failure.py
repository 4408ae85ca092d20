"""After a power failure at any moment, whatever had not been synced, nothing acknowledged is lost and no batch is torn.

And each fsync earns its keep: without any one of them, some failure at some moment loses something.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation, violations, without

from editlog.errors import IntegrityError, UsageError
from editlog.fact import Fact
from editlog.store import EditLog

BATCH = 3
# A log is made, then gets two batches of facts; each step is acknowledged once it has returned.
INGEST = f"""
import sys
from pathlib import Path
from editlog.fact import Fact
from editlog.store import EditLog

home = Path(sys.argv[1])
log = EditLog.create(home / "log", actor="ada")
(home / "ACK").open("w").close()
for batch in range(2):
    log.ingest([Fact(prompt=f"Prompt {{batch}} {{n}} is", target="one") for n in range({BATCH})], actor="ada")
    (home / "ACK").open("w").close()
"""
SYNCS = (
    "directory.sync_directory",
    "head.next.sync",
    "head.next.sync_directory",
    "commit.sync_directory",
    "head.sync_directory",
)


def violation(crash: Crash, home: Path) -> str | None:
    """What a power failure has broken; None where all that was acknowledged is there, and the log carries on."""
    directory = crash.write(home) / "log"
    try:
        log = EditLog.open(directory)
        batches, rest = divmod(len(log.facts()), BATCH)
        if rest or not crash.acknowledged - 1 <= batches <= crash.acknowledged:
            return f"{crash.what}: {batches} batches and {rest} facts, {crash.acknowledged - 1} were acknowledged"
        log.ingest([Fact(prompt="One more is", target="one")], actor="ada")
        return f"{crash.what}: {findings[0]}" if (findings := log.verify()) else None
    except UsageError as error:  # no log
        return f"{crash.what}: {error}" if crash.acknowledged else None
    except IntegrityError as error:
        return f"{crash.what}: {error}"


def test_an_ingest_survives_a_power_failure_at_sampled_moments(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = powerloss.crashes(record(INGEST))
    assert list(violations(crashes, violation, tmp_path / "home", step=12)) == []


@pytest.mark.crash
def test_an_ingest_survives_a_power_failure_at_any_moment(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    crashes = list(powerloss.crashes(record(INGEST)))
    assert list(violations(crashes, violation, tmp_path / "home")) == []
    print(f"power failure during ingest: {len(crashes)} distinct trees, 0 acknowledged rows lost, 0 torn batches")


@pytest.mark.crash
@pytest.mark.parametrize("site", SYNCS)
def test_without_any_one_fsync_something_is_lost(
    record: Callable[[str], list[Operation]], tmp_path: Path, site: str
) -> None:
    crashes = powerloss.crashes(record(without(site, INGEST)))
    found = next(violations(crashes, violation, tmp_path / "home"), None)
    assert found, f"{site} is not needed, or this test does not see what it is for"
    print(f"without {site}: {found}")
