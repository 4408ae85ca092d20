"""Progress on stderr: a bar with the time left where someone watches, a line a stage where nobody does."""

from __future__ import annotations

import sys
import time
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lifelong.reports.logs import LoggedProgress, speak


class Bar:
    """One rich bar for the stage under way; finished stages stay above it. `console`: where, if not stderr.

    Nothing is shown of the first `patience` seconds.
    """

    def __init__(self, console: Console | None = None, *, patience: float = 0.0) -> None:
        self._shown_from = time.monotonic() + patience
        self._shown = False
        self._progress = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console or Console(stderr=True),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._task = None
        self.done()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of about `total` steps; 0: nobody knows how many."""
        self._end_stage()
        self._task = self._progress.add_task(name, total=total or None)
        self._show()

    def advance(self, n: int = 1) -> None:
        """Count `n` more steps of the stage."""
        if self._task is not None:
            self._progress.advance(self._task, n)
        self._show()

    def done(self) -> None:
        """No more stages: leave the bars as they are; what begins behind them is shown below."""
        self._end_stage()
        if self._shown:
            self._progress.stop()
            self._shown = False
        for task in self._progress.task_ids:
            self._progress.remove_task(task)

    def _show(self) -> None:
        if not self._shown and time.monotonic() >= self._shown_from:
            self._shown = True
            self._progress.start()

    def _end_stage(self) -> None:
        """What was done is all there was: an audit that searches for culprits asks more than was foreseen."""
        if self._task is not None:
            self._progress.update(self._task, total=self._progress.tasks[-1].completed)
        self._task = None


class Lines:
    """One line per stage, written when it ends, for logs and pipes; none for one shorter than `patience` seconds."""

    def __init__(self, *, patience: float = 0.0) -> None:
        self._patience = patience
        self._name = ""
        self._count = 0
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.done()

    def stage(self, name: str, total: int) -> None:
        """End the stage before and begin one of `total` steps."""
        self.done()
        self._name, self._count, self._since = name, 0, time.monotonic()

    def advance(self, n: int = 1) -> None:
        """Count `n` more steps of the stage."""
        self._count += n

    def done(self) -> None:
        """Write the line of the stage under way."""
        took = time.monotonic() - self._since
        if self._name and took >= self._patience:
            click.echo(f"{self._name}: {self._count} in {took:.1f} s", err=True)
        self._name = ""


def progress_bar(log_format: str = "text", *, patience: float = 0.0) -> Bar | Lines | LoggedProgress:
    """What suits stderr: records for `json`, a `Bar` on a terminal, else `Lines`. Use it as a context manager.

    `patience`: seconds that pass before anything is said, for work that is short more often than long.
    """
    if log_format == "json":
        speak("json")
        return LoggedProgress()
    return Bar(patience=patience) if sys.stderr.isatty() else Lines(patience=patience)
