"""Inputs of any kind to records: by what a source is, one reader each, all of them held to the limits of `lines`.

`READERS` is the whole story for files: the end of a name, without that of its compression, says which reader it is.
A folder is all its files, in the order of their names; anything else is JSON (lines, or one array).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from editlog.lines import STANDARD_INPUT, JsonRecords
from editlog.readers.folder import FolderRecords
from editlog.readers.opening import READERS, Records, open_file
from editlog.readers.rows import RowRecords

__all__ = ["READERS", "Records", "RowRecords", "open_records"]


def open_records(source: str | Path | BinaryIO | RowRecords, *, limit: int | None = None) -> Records:
    """The records of a path, a folder, `-` (standard input: JSON), an open binary stream of JSON, or of rows.

    Raises UsageError where a path cannot be opened, LifelongError where it cannot be read to its end.
    """
    if isinstance(source, RowRecords):
        return source
    if not isinstance(source, str | Path) or str(source) == STANDARD_INPUT:
        return JsonRecords(source, limit=limit)
    if Path(source).is_dir():
        return FolderRecords(Path(source), limit=limit)
    return open_file(source, limit=limit)
