"""LENGTH: how long the database file was when its last writer closed it.

DuckDB opens a file whose end was cut off, and finds out when it reads there; so the length is noted beside
it. The note is withdrawn before a writer opens the file and made again after it has closed it, so a writer
that dies leaves no note, and its successor relies on HEAD alone.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from editlog.errors import IntegrityError

LENGTH = "LENGTH"


def withdraw(directory: Path) -> None:
    """Forget the length, before the file may change."""
    (directory / LENGTH).unlink(missing_ok=True)


def note(directory: Path, database: Path, seq: int) -> None:
    """Note the length of a database that was closed with `seq` events in it; without room for it, there is no note."""
    fresh = directory / f"{LENGTH}.new"
    with suppress(OSError):  # what was to be written is acknowledged by now
        fresh.write_text(json.dumps({"seq": seq, "bytes": database.stat().st_size}) + "\n")
        fresh.replace(directory / LENGTH)


def check(directory: Path, database: Path, seq: int) -> None:
    """Raise IntegrityError where the length was noted at `seq` and is another now."""
    try:
        noted = json.loads((directory / LENGTH).read_text())
        known, expected = noted["seq"], noted["bytes"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    found = database.stat().st_size
    if known == seq and found != expected:
        raise IntegrityError(
            f"{database} is {found} bytes long, it was {expected} when it was last closed: "
            "nothing was changed, keep the whole directory as it is"
        )
