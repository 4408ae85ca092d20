"""The response log: what was told to whom, under which fact. Optional, and apart from the chain.

`log/responses/responses-<day>.jsonl` (UTC days) hold one line of canonical JSON for each answer, appended a batch
at a time: one lock, one write, one fsync. A line that a crash cut short was never acknowledged: readers pass over it,
and the next writer begins on a new line. The lines hold prompts and answers, so they are not part of the hash chain
and can be erased: `erase` rewrites every segment that says what must be forgotten.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from editlog import durable
from editlog.canonical import canonical_json
from editlog.errors import IntegrityError, LifelongError, UsageError
from editlog.events import moment

RESPONSES = "responses"
"""The directory's name beside the log's database, and the table's on the console."""

SCHEMA = pa.schema(
    [
        ("recorded_at", pa.timestamp("us")),
        ("request_id", pa.string()),
        ("told_to", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("fact", pa.string()),
        ("expert", pa.string()),
        ("similarity", pa.float64()),
        ("threshold", pa.float64()),
        ("snapshot", pa.string()),
        ("valid_at", pa.timestamp("us")),
    ]
)
_MOMENTS = ("recorded_at", "valid_at")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer as it was given. Moments are aware; `fact` (f12) is null where the base model answered."""

    recorded_at: datetime
    request_id: str
    told_to: str | None
    prompt: str
    answer: str
    fact: str | None
    expert: str | None
    similarity: float | None
    threshold: float | None
    snapshot: str | None
    valid_at: datetime | None


def append_responses(directory: Path, responses: Sequence[Response]) -> None:
    """Append answers that are about to be given; returns once they are durable.

    Raises UsageError for names and texts that JSON cannot hold, LifelongError where the disk does not take them.
    """
    if not responses:
        return
    try:
        lines = b"".join(canonical_json(_plain(response)) + b"\n" for response in responses)
    except ValueError as error:
        raise UsageError(f"the response log cannot hold this: {error}") from error
    path = directory / f"responses-{responses[0].recorded_at.astimezone(UTC):%Y-%m-%d}.jsonl"
    try:
        durable.make_directory(directory)
        with _alone(directory):
            durable.append(path, lines, point="responses")
    except OSError as error:
        raise LifelongError(
            f"no answer is given, for the response log {path} cannot be written ({error.strerror}): see to that, or set"
            " response_log = false in lifelong.toml"
        ) from error


def read_responses(directory: Path, *, before: datetime | None = None) -> pa.Table:
    """Every answer that was recorded, in order; only those before a moment (naive UTC), where one is given."""
    rows = [_row(line) for path in _segments(directory) for line in _lines(path)]
    rows = [row for row in rows if before is None or row["recorded_at"] < before]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def erase(directory: Path, forgotten: Callable[[dict[str, Any]], bool]) -> int:
    """Drop every answer that `forgotten` says must go, given its fields; returns how many went.

    Each segment is written anew and put in place of the old one, whole or not at all; what an erasure that was killed
    has half written goes as well.
    """
    erased = 0
    if not directory.is_dir():
        return erased
    with _alone(directory):
        for half in directory.glob(".responses-*"):
            half.unlink()
            durable.sync_directory(directory, point="responses.erase")
        for path in _segments(directory):
            lines = list(_lines(path))
            kept = [line for line in lines if not forgotten(json.loads(line))]
            if len(kept) < len(lines):
                erased += len(lines) - len(kept)
                durable.write_atomically(path, b"".join(line + b"\n" for line in kept), point="responses.erase")
    return erased


def _plain(response: Response) -> dict[str, Any]:
    record = asdict(response)
    return {**record, **{name: record[name] and moment(record[name].astimezone(UTC)) for name in _MOMENTS}}


def _row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    return {**row, **{name: row[name] and datetime.fromisoformat(row[name]).replace(tzinfo=None) for name in _MOMENTS}}


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("responses-*.jsonl"))


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a segment; raises IntegrityError for one that nobody has written."""
    content = path.read_bytes()
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            if line and not isinstance(json.loads(line), dict):
                raise ValueError("it is no object")
        except ValueError as error:
            if line.startswith(b'{"answer":') and not line.endswith((b"null}", b'Z"}')):
                continue  # cut short by a crash, never acknowledged
            raise IntegrityError(f"{path}, line {number} is not what was written ({error}): keep the file") from error
        if line:
            yield line


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "LOCK").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
