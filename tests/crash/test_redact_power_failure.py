"""A power failure during a redaction leaves the log before it or after it; what was acknowledged as gone stays gone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation
from test_power_failure import WITHOUT

from editlog.errors import LifelongError
from editlog.fact import Fact
from editlog.store import EditLog

TARGET = "Xyzzy-Plugh-4711"
# Two facts are put, then the first is redacted; each step is acknowledged once it has returned.
REDACT = f"""
import sys
from pathlib import Path
from editlog.fact import Fact
from editlog.store import EditLog

home = Path(sys.argv[1])
log = EditLog.create(home / "log", actor="ada")
log.ingest([Fact(prompt=f"Prompt {{n}} is", target="{TARGET}" if n == 0 else "one") for n in range(2)], actor="ada")
(home / "ACK").open("w").close()
log.redact([3], actor="dpo", reason="asked")
(home / "ACK").open("w").close()
"""


def recorded(folder: Path, program: str) -> list[Operation]:
    home = folder / "home"
    home.mkdir()
    return powerloss.record(powerloss.compiled(folder), home, program)


def violation(crash: Crash, home: Path) -> str | None:
    """What a power failure has broken, once both facts were acknowledged; None where nothing is."""
    directory = crash.write(home) / "log"
    try:
        log = EditLog.open(directory)
        names = [fact.ref for fact in log.facts()]
        if names not in ([["f4"]] if crash.acknowledged == 2 else [["f3", "f4"], ["f4"]]):
            return f"{crash.what}: {names} of f3 and f4 are there, {crash.acknowledged} steps were acknowledged"
        if findings := log.verify():
            return f"{crash.what}: {findings[0]}"
        if names == ["f3", "f4"]:
            log.redact([3], actor="dpo", reason="asked again")
        log.ingest([Fact(prompt="One more is", target="one")], actor="ada")
        held = [path.name for path in directory.rglob("*") if path.is_file() and TARGET.encode() in path.read_bytes()]
        return f"{crash.what}: {held} hold the words" if held or log.verify() else None
    except LifelongError as error:
        return f"{crash.what}: {error}"


def violations(operations: list[Operation], home: Path, step: int) -> Iterator[str]:
    crashes = (crash for crash in powerloss.crashes(operations) if crash.acknowledged >= 1)
    return (found for crash in islice(crashes, 0, None, step) if (found := violation(crash, home)))


def test_a_redaction_survives_a_power_failure_at_sampled_moments(tmp_path: Path) -> None:
    assert list(violations(recorded(tmp_path, REDACT), tmp_path / "crashed", 96)) == []


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_a_redaction_survives_a_power_failure_at_any_moment(tmp_path: Path) -> None:
    operations = recorded(tmp_path, REDACT)
    assert list(violations(operations, tmp_path / "crashed", 1)) == []
    trees = sum(crash.acknowledged >= 1 for crash in powerloss.crashes(operations))
    print(f"power failure during a redaction: {trees} distinct trees, nothing lost, nothing back")


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("site", ["head.next.sync", "commit.sync_directory", "head.sync_directory"])
def test_without_any_one_fsync_a_redaction_loses_something(tmp_path: Path, site: str) -> None:
    operations = recorded(tmp_path, WITHOUT.format(site=site) + REDACT)
    found = next(violations(operations, tmp_path / "crashed", 1), None)
    assert found, f"{site} is not needed, or this test does not see what it is for"
    print(f"without {site}: {found}")
