"""A power failure during a redaction leaves the log before it or after it; what was acknowledged as gone stays gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import powerloss
import pytest
from powerloss import Crash, Operation, violations, without

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


def crashes(operations: list[Operation]) -> Iterator[Crash]:
    """The trees once both facts were acknowledged; what an ingest leaves is looked at elsewhere."""
    return (crash for crash in powerloss.crashes(operations) if crash.acknowledged)


def test_a_redaction_survives_a_power_failure_at_sampled_moments(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    assert list(violations(crashes(record(REDACT)), violation, tmp_path / "home", step=96)) == []


@pytest.mark.crash
def test_a_redaction_survives_a_power_failure_at_any_moment(
    record: Callable[[str], list[Operation]], tmp_path: Path
) -> None:
    trees = list(crashes(record(REDACT)))
    assert list(violations(trees, violation, tmp_path / "home")) == []
    print(f"power failure during a redaction: {len(trees)} distinct trees, nothing lost, nothing back")


@pytest.mark.crash
@pytest.mark.parametrize("site", ["head.next.sync", "commit.sync_directory", "head.sync_directory"])
def test_without_any_one_fsync_a_redaction_loses_something(
    record: Callable[[str], list[Operation]], tmp_path: Path, site: str
) -> None:
    found = next(violations(crashes(record(without(site, REDACT))), violation, tmp_path / "home"), None)
    assert found, f"{site} is not needed, or this test does not see what it is for"
    print(f"without {site}: {found}")
