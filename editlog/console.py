"""The sandbox that an auditor's query runs in: a process of its own, with a copy of the tables and nothing else.

`python -m editlog.console` reads one request (JSON) from standard input, copies the log's tables into memory, takes
its own rights away, and only then looks at the query: no file or socket can be opened, no file written, memory and
time are bounded by the operating system. It answers with one line of JSON and, where that says so, an Arrow stream.
`editlog.query` is the other end.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from editlog.errors import Busy, LifelongError, UsageError
from editlog.fallback import Fallback
from editlog.responses import RESPONSES, read_responses
from editlog.session import in_memory
from editlog.statement import checked, first_line
from editlog.store import EditLog
from editlog.views import NAMES, views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

SCHEMA = "audit"
MAX_BYTES = 64 * 2**20
GRACE = 1.0
"""Seconds after which the kernel ends a query that does not hear the interrupt."""

_BATCH = 1024
_ARROW_ROOM = 512 * 2**20
_SETTINGS = (
    "SET python_enable_replacements = false",
    "SET allow_persistent_secrets = false",
    "SET threads = 1",
    "SET lock_configuration = true",
)


@dataclass(frozen=True)
class Request:
    """What the console is asked. `as_of` is a seq, `valid_at` RFC 3339; seconds, rows and bytes.

    `directory` is the log's, `replica` that of its replica, for when it is busy; empty: there is none to turn to.
    """

    directory: str
    sql: str
    as_of: int
    valid_at: str
    timeout: float
    rows: int
    memory: int
    replica: str = ""


def open_console(request: Request) -> DuckDBPyConnection:
    """A connection on which the views can be asked, and little else; raises what reading the log raises."""
    con = in_memory()
    directory = Path(request.directory)
    reader = Fallback.open(directory, Path(request.replica)) if request.replica else EditLog(directory)
    with reader.visit() as (log, position):
        if position.seq < request.as_of:
            raise Busy(f"the edit log in {directory} is busy and its replica stands at event {position.seq}: try again")
        log.complete()  # the check of HEAD has left a result open
        for name, columns in (("events", "*"), ("texts", "* EXCLUDE (secret, digest, probes)")):
            rows = log.sql(f"SELECT {columns} FROM {name} WHERE seq <= {request.as_of}").to_arrow_table()
            _copy(con, f"main.{name}", rows)
        later: Any = log.execute("SELECT min(recorded_at) FROM events WHERE seq > ?", [request.as_of]).fetchone()
    con.execute(f"CREATE SCHEMA {SCHEMA}")
    con.execute(f"USE {SCHEMA}")
    _copy(con, f"{SCHEMA}.{RESPONSES}", read_responses(directory / RESPONSES, before=later[0]))
    for name, sql in views(request.as_of, datetime.fromisoformat(request.valid_at)).items():
        con.execute(f"CREATE VIEW {name} AS {sql}")
    con.execute(f"SET memory_limit = '{request.memory // 2**20}MiB'")
    for setting in _SETTINGS:
        con.execute(setting)
    return con


def answer(con: DuckDBPyConnection, sql: str, *, timeout: float, rows: int) -> tuple[pa.Table, bool]:
    """The first `rows` rows that a query gives, and whether there are more.

    Raises UsageError for what is no question to the views, LifelongError for one that takes too much.
    """
    with _interrupted(con, timeout) as late:
        try:
            query = con.sql(checked(con, sql, NAMES))
            return _taken(query.to_arrow_reader(_BATCH), rows)
        except (duckdb.InterruptException, duckdb.OutOfMemoryException, MemoryError, RecursionError) as error:
            raise LifelongError(_too_much(timeout if late.is_set() else None)) from error
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError, TypeError) as error:
            if late.is_set():
                raise LifelongError(_too_much(timeout)) from error
            raise UsageError(f"the query cannot be answered: {first_line(error)}") from error


def _copy(con: DuckDBPyConnection, name: str, table: pa.Table) -> None:
    con.register("incoming", table)
    con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    con.unregister("incoming")


@contextmanager
def _interrupted(con: DuckDBPyConnection, timeout: float) -> Iterator[threading.Event]:
    """Interrupt the connection after `timeout` seconds, for as long as the block runs; the event says that it was."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        con.interrupt()

    timer = threading.Timer(timeout, stop)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _taken(reader: pa.RecordBatchReader, rows: int) -> tuple[pa.Table, bool]:
    batches: list[pa.RecordBatch] = []
    count = size = 0
    for batch in reader:
        count, size = count + len(batch), size + batch.nbytes
        if size > MAX_BYTES:
            raise LifelongError(f"the answer is larger than {MAX_BYTES // 2**20} MiB: ask for fewer or shorter columns")
        batches.append(batch)
        if count > rows:
            break
    return pa.Table.from_batches(batches, reader.schema).slice(0, rows), count > rows


def _too_much(timeout: float | None) -> str:
    what = "needed more memory than it may have" if timeout is None else f"took longer than {timeout:g} s"
    return f"the query {what} and was stopped; ask for less, or narrow it with WHERE and LIMIT"


def _give_up_rights(timeout: float, memory: int) -> None:
    """From here on the kernel allows no new file or socket, no byte written, nor memory or time without end."""
    for name, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_DATA, _data_bytes() + memory + _ARROW_ROOM),
    ):
        resource.setrlimit(name, (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout + GRACE)


def _data_bytes() -> int:
    """Bytes of private memory this process has asked for so far; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    except OSError:
        return 2**32
    return int(pages) * resource.getpagesize()


def _serve(stdin: IO[str], stdout: IO[bytes]) -> None:
    request = Request(**json.load(stdin))
    header: dict[str, Any]
    table: pa.Table | None = None
    try:
        con = open_console(request)
        _give_up_rights(request.timeout, request.memory)
        table, cut = answer(con, request.sql, timeout=request.timeout, rows=request.rows)
        header = {"cut": cut}
    except LifelongError as error:
        header = {"error": str(error), "exit_code": error.exit_code}
    stdout.write(json.dumps(header).encode() + b"\n")
    if table is not None:
        with pa.ipc.new_stream(stdout, table.schema) as stream:
            stream.write_table(table)
    stdout.flush()


def encode_request(request: Request) -> bytes:
    """The request as standard input has it."""
    return json.dumps(asdict(request)).encode()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout.buffer)
