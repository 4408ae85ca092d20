"""The monitor's file: every figure with its meaning, labels that cannot break out, and never half a file."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lifelong.reports.gauges import prometheus_text, write_gauges
from lifelong.results import Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def status(**more: object) -> Status:
    known = {
        "home": 'C:\\edits "of\nours"',
        "model": "embedded",
        "base": "sha256:0",
        "recipe": "default",
        "head": 17,
        "facts": {"applied": 3, "pending": 2},
        "held": {"unsigned": 1},
        "oldest_pending_seconds": None,
        "experts": 3,
        "expert_bytes": 4096,
        "snapshot": None,
        "snapshot_behind": True,
        "inbox": {"waiting": 0, "oldest_seconds": None},
        "last_job": None,
    }
    names = Status.__dataclass_fields__
    return Status(**{name: {**known, **more}.get(name) for name in names})  # type: ignore[arg-type]


def samples(text: str) -> dict[str, float]:
    """Each sample by its name and labels, home left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    home = 'home="C:\\\\edits \\"of\\nours\\""'
    pairs = (line.rpartition(" ") for line in lines)
    return {name.replace(home, "").replace("{,", "{").replace("{}", ""): float(value) for name, _, value in pairs}


def test_every_figure_is_there_once_with_its_meaning() -> None:
    text = prometheus_text(status(), NOW)
    found = samples(text)
    assert found["lifelong_log_events"] == 17
    assert found['lifelong_facts{status="pending"}'] == 2
    assert found["lifelong_snapshot_behind"] == 1
    assert found["lifelong_looked_at_timestamp_seconds"] == NOW.timestamp()
    assert text.count("# TYPE lifelong_facts gauge") == 1


def test_what_is_not_known_is_left_out() -> None:
    assert "oldest_pending" not in prometheus_text(status(), NOW)
    assert "last_job" not in prometheus_text(status(), NOW)


def test_the_last_job_is_told_with_its_end() -> None:
    job = {"job": "job-3", "ended": "failed", "at": "2026-11-21T02:31:00.000000Z", "facts": 5, "seconds": 60.0}
    found = samples(prometheus_text(status(last_job=job), NOW))
    assert found["lifelong_last_job_failed"] == 1
    assert NOW.timestamp() - found["lifelong_last_job_end_timestamp_seconds"] == pytest.approx(9 * 3600 + 29 * 60)


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    write_gauges(tmp_path / "lifelong.prom", status(), NOW)
    write_gauges(tmp_path / "lifelong.prom", status(head=18), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["lifelong.prom"]
    assert samples((tmp_path / "lifelong.prom").read_text(encoding="utf-8"))["lifelong_log_events"] == 18
