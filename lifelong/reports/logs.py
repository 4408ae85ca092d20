"""What a process says while it works, on stderr: as words for a person, or as JSON lines for a machine.

A JSON line has `at` (UTC), `level`, `logger`, `message`, and `job` where a job is under way; anything that is given to
a logger as `extra={"fields": {...}}` stands beside them.
"""

from __future__ import annotations

import contextvars
import json
import logging
import time
from datetime import UTC, datetime
from typing import Literal, Self

from editlog.events import moment

LogFormat = Literal["text", "json"]
_job: contextvars.ContextVar[str | None] = contextvars.ContextVar("lifelong-job", default=None)
_log = logging.getLogger("lifelong.job")


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = {
            "at": moment(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "job": _job.get(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def speak(log_format: LogFormat) -> None:
    """Let everything under the logger `lifelong` speak on stderr; called once more, it changes the format."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter("%(message)s"))
    logger = logging.getLogger("lifelong")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def name_job(job: str) -> None:
    """From here on every line names the job, as long as the context lasts that this is called in."""
    _job.set(job)


class LoggedProgress:
    """Progress as log records: one when a stage begins, one when it ends with what it did and how long it took."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._count = 0
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.done()

    def stage(self, name: str, total: int) -> None:
        """A new stage of `total` units begins."""
        self.done()
        self._name, self._count, self._since = name, 0, time.monotonic()
        _log.info("%s begins", name, extra={"fields": {"stage": name, "total": total}})

    def advance(self, n: int) -> None:
        """`n` more units are done."""
        self._count += n

    def done(self) -> None:
        """The last stage is over."""
        if self._name:
            seconds = round(time.monotonic() - self._since, 3)
            told = {"stage": self._name, "done": self._count, "seconds": seconds}
            _log.info("%s is done", self._name, extra={"fields": told})
        self._name = None
