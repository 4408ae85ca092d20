"""A ledger of a long run of tests, so that a run which was cut off goes on where it was.

    PYTHONPATH=tests python -m pytest -p ledger --ledger crash.jsonl -m crash tests

Each test that has passed is a line of the file: its name, the CPU seconds of its process and of the processes it
started, what it printed, and the digest of the source it ran on. Where the source is the same, the next run passes over
it. At the end the counts of all of them are printed, those of earlier runs too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

SOURCE = ("editlog", "policies", "lifelong", "tests")
KINDS = {".py", ".c", ".toml"}


@dataclass(frozen=True)
class Entry:
    """One test that has passed; `cpu` is in seconds."""

    test: str
    source: str
    cpu: float
    counts: list[str]


def digest(root: Path) -> str:
    """What the code and its tests hold, as 16 hex digits."""
    files = (path for part in SOURCE for path in (root / part).rglob("*") if path.suffix in KINDS)
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


class Ledger:
    """The tests that have passed on this source, read from a file and added to it."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries = [Entry(**json.loads(line)) for line in lines]
        self.entries = {one.test: one for one in entries if one.source == source}
        self._before = len(self.entries)
        self._reports: list[pytest.TestReport] = []

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self.entries]
        items[:] = [item for item in items if item.nodeid not in self.entries]
        config.hook.pytest_deselected(items=done)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._reports, began = [], cpu()
        result = yield
        if len(self._reports) == 3 and all(report.passed for report in self._reports):
            counts = [line for line in self._reports[1].capstdout.splitlines() if line]
            self._add(Entry(item.nodeid, self.source, round(cpu() - began, 2), counts))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def _add(self, entry: Entry) -> None:
        self.entries[entry.test] = entry
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.entries:
            session.exitstatus = pytest.ExitCode.OK  # all of them have passed before

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"counts, on source {self.source}")
        for entry in self.entries.values():
            for line in entry.counts:
                terminalreporter.write_line(f"{entry.cpu:8.1f} s  {line}")
        spent = sum(entry.cpu for entry in self.entries.values())
        terminalreporter.write_line(
            f"{len(self.entries)} tests have passed in {spent:.0f} s of CPU, {self._before} of them in earlier runs"
        )


def cpu() -> float:
    """CPU seconds of this process, and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ledger", type=Path, help="Note tests that pass in this file, and pass over those noted there.")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("ledger"):
        config.pluginmanager.register(Ledger(path, digest(config.rootpath)))
