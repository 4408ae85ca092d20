"""A workspace's state as Prometheus text, for the textfile collector of node_exporter.

The names end in their unit, as Prometheus asks; a figure that is not known is left out, so that a rule on it can say
`absent`. The file is there whole or not at all. docs/OPERATIONS.md has the alarms that go with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lifelong.files import write_atomically
from lifelong.results import Status


@dataclass(frozen=True)
class Gauge:
    """One sample: a name, what it means, its value, and labels."""

    name: str
    meaning: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def gauges(status: Status, now: datetime) -> Iterator[Gauge]:
    """What a monitor should know of a workspace; `now` (aware) is when it was looked at."""
    yield Gauge("lifelong_looked_at_timestamp_seconds", "When these figures were taken.", now.timestamp())
    yield Gauge("lifelong_log_events", "Events in the log.", status.head)
    for name, count in status.facts.items():
        yield Gauge("lifelong_facts", "Facts by where they stand.", count, {"status": name})
    for code, count in status.held.items():
        yield Gauge("lifelong_facts_not_admitted", "Pending facts that are held, by reason.", count, {"code": code})
    if status.oldest_pending_seconds is not None:
        seconds = status.oldest_pending_seconds
        yield Gauge("lifelong_oldest_pending_seconds", "Age of the fact that has waited longest.", seconds)
    yield Gauge("lifelong_experts", "Experts in use.", status.experts)
    yield Gauge("lifelong_expert_bytes", "Size of the packs in use.", status.expert_bytes)
    yield Gauge("lifelong_snapshot_behind", "1 where the served snapshot lags the log.", float(status.snapshot_behind))
    yield Gauge("lifelong_inbox_waiting", "Spooled ingests that no writer took in yet.", status.inbox["waiting"])
    if status.last_job:
        ended = datetime.fromisoformat(status.last_job["at"]).timestamp()
        failed = float(status.last_job["ended"] == "failed")
        yield Gauge("lifelong_last_job_end_timestamp_seconds", "When the last job ended.", ended)
        yield Gauge("lifelong_last_job_failed", "1 where its audit stopped the last job.", failed)
        for field, name in (("seconds", "lifelong_last_job_seconds"), ("facts", "lifelong_last_job_facts")):
            if isinstance(value := status.last_job.get(field), int | float):
                yield Gauge(name, f"The last job's {field}.", value)


def prometheus_text(status: Status, now: datetime) -> str:
    """The gauges in Prometheus' text format, each with the workspace's home as a label."""
    lines: list[str] = []
    told: set[str] = set()
    for gauge in gauges(status, now):
        if gauge.name not in told:
            told.add(gauge.name)
            lines += [f"# HELP {gauge.name} {gauge.meaning}", f"# TYPE {gauge.name} gauge"]
        labels = {"home": status.home, **gauge.labels}
        shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        lines.append(f"{gauge.name}{{{shown}}} {float(gauge.value)!r}")
    return "\n".join(lines) + "\n"


def write_gauges(path: Path, status: Status, now: datetime) -> None:
    """Write the text to a file (node_exporter reads those that end in .prom), whole or not at all."""
    write_atomically(path, prometheus_text(status, now).encode())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
