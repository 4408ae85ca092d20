"""What it costs to keep the readers' replica of the log fresh, and to ask it, beside copying the whole log.

    python benchmarks/replica.py --events 10000 --events 100000 --events 1000000

One line of JSON for each size of the log: CPU and wall seconds, medians, on one core; bytes as written. A full copy is
the database file copied and synced, which is the least that a replica without segments would cost at each refresh.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import click
from log import medians, record, report

from editlog.fact import Fact
from editlog.manifest import MANIFEST
from editlog.replica import Replica, rebuild, refresh
from editlog.segments import SMALL
from editlog.store import EditLog, utc_now

BATCH = 100_000


class Bench:
    """A log of about `events` events, its tail half full, and its replica."""

    def __init__(self, folder: Path, events: int) -> None:
        self.log, self.replica, self._numbers = EditLog.create(folder / "log", actor="benchmark"), folder / "r", count()
        wanted = events + SMALL // 2
        while (missing := wanted - self.log.head().seq) > 1:
            self.ingest(min(missing - 1, BATCH))
        self._copy = folder / "copy.duckdb"

    def ingest(self, facts: int) -> None:
        """Put so many new facts, the replica staying behind."""
        self.log.ingest(self._facts(facts), actor="benchmark")

    def _facts(self, facts: int) -> Iterator[Fact]:
        return (Fact(**record(next(self._numbers), False)) for _ in range(facts))

    def refresh(self) -> None:
        """What a writer does behind each of its transactions."""
        refresh(self.log, self.replica, utc_now())

    def copy(self) -> None:
        """The whole log, durably, elsewhere."""
        shutil.copyfile(self.log.directory / "edits.duckdb", self._copy)
        with self._copy.open("rb") as file:
            os.fsync(file.fileno())

    def ask(self) -> None:
        """Open the replica and list the last twenty events."""
        Replica.open(self.replica).events(limit=20, newest_first=True)

    def sizes(self) -> dict[str, int]:
        """The bytes of each file of the replica."""
        return {path.name: path.stat().st_size for path in self.replica.iterdir()}


@click.command()
@click.option("--events", "sizes", multiple=True, type=int, default=(10_000, 100_000))
@click.option("--runs", default=5, show_default=True)
def main(sizes: tuple[int, ...], runs: int) -> None:
    """Cost of a refresh, of making the replica anew and of asking it."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whatever the libraries would like
    for events in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Bench(Path(folder), events), runs)


def measure(bench: Bench, runs: int) -> None:
    """Print the figures of one size."""
    anew = medians(lambda: rebuild(bench.log, bench.replica, utc_now()), 1)
    nothing = medians(bench.refresh, runs)
    one = medians(bench.refresh, runs, lambda: bench.ingest(1))
    before = bench.sizes()
    hundred = medians(bench.refresh, 1, lambda: bench.ingest(100))
    after = bench.sizes()
    written = sum(size for name, size in after.items() if name not in before) + after[MANIFEST]
    copy, ask = medians(bench.copy, runs), medians(bench.ask, runs)
    database = (bench.log.directory / "edits.duckdb").stat().st_size
    report(
        {
            "events": bench.log.head().seq,
            **{f"refresh_1_{name}": value for name, value in one.items()},
            **{f"refresh_100_{name}": value for name, value in hundred.items()},
            **{f"refresh_none_{name}": value for name, value in nothing.items()},
            **{f"anew_{name}": value for name, value in anew.items()},
            **{f"copy_{name}": value for name, value in copy.items()},
            **{f"ask_{name}": value for name, value in ask.items()},
            "written_bytes": written,
            "database_bytes": database,
            "replica_bytes": sum(after.values()),
            "refresh_to_anew_cpu": one["cpu_s"] / anew["cpu_s"],
            "written_to_database": written / database,
        }
    )


if __name__ == "__main__":
    main()
