"""Ask the log in SQL: one question, answered by a sandboxed process (`editlog.console`) that dies with it.

result = query(EditLog.open(Path("ws/log")), "SELECT actor, count(*) AS facts FROM facts GROUP BY actor")
result.table                       # a pyarrow Table
result.cut                         # whether there were more rows than `rows`
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from editlog.console import Request, encode_request
from editlog.errors import EXIT_CODES, LifelongError
from editlog.fallback import Fallback
from editlog.inquiry import plain
from editlog.position import AsOf
from editlog.store import EditLog

ROWS = 10_000
TIMEOUT = 5.0
MEMORY = 512 * 2**20

_PACKAGES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class QueryResult:
    """The rows that a query gave; `cut` where there are more than were asked for."""

    table: pa.Table
    cut: bool

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain JSON data: moments as RFC 3339 in UTC, bytes as hex, NaN and infinity as null.

        A name that stands twice is kept twice, the second with `_1` behind it.
        """
        names: list[str] = []
        for name in self.table.column_names:
            twins = (f"{name}_{number}" for number in count(1))
            names.append(name if name not in names else next(twin for twin in twins if twin not in names))
        columns = [[plain(value) for value in column.to_pylist()] for column in self.table.columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def query(
    log: EditLog | Fallback,
    sql: str,
    *,
    as_of: AsOf | None = None,
    valid_at: datetime | None = None,
    rows: int = ROWS,
    timeout: float = TIMEOUT,
    memory: int = MEMORY,
) -> QueryResult:
    """Answer one SELECT, WITH, DESCRIBE or EXPLAIN over the views of docs/QUERIES.md.

    The views show the log at `as_of` (an event's number, a job or a moment; None: now) and, where validity counts,
    the world at `valid_at` (aware; None: that of `as_of`). `timeout` is in seconds of the query alone, `memory` in
    bytes. Raises UsageError for anything that is no such question, LifelongError where it takes too much.
    """
    position = log.position(as_of)
    request = Request(
        directory=str(log.directory.absolute()),
        sql=sql,
        as_of=position.seq,
        valid_at=(valid_at or position.at).isoformat(),
        timeout=timeout,
        rows=rows,
        memory=memory,
        replica=str(log.replica.absolute()) if isinstance(log, Fallback) else "",
    )
    # -P: no module is taken from the current directory; what this process found its own packages by goes first.
    packages = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "editlog.console"],
        input=encode_request(request),
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": packages},
    )
    if done.returncode:
        raise LifelongError(_ended(done.returncode, done.stderr, timeout))
    stream = io.BytesIO(done.stdout)
    header = json.loads(stream.readline())
    if "error" in header:
        raise EXIT_CODES[header["exit_code"]](header["error"])
    return QueryResult(pa.ipc.open_stream(stream).read_all(), header["cut"])


def _ended(code: int, stderr: bytes, timeout: float) -> str:
    """Why the console's process ended without an answer."""
    if code == -signal.SIGALRM:
        return f"the query took longer than {timeout:g} s and was stopped; ask for less, or narrow it with WHERE"
    if code < 0:
        return f"the query was stopped by the system ({signal.Signals(-code).name}): it needed more than it may have"
    last = (stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    return f"the process that answers queries ended with code {code}: {last}"
