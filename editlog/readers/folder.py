"""All the files of a folder as one input, in the order of their paths; a reject says which file it is of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from editlog.compressed import plain_suffix
from editlog.errors import UsageError
from editlog.lines import Record
from editlog.readers.opening import READERS, open_file
from editlog.readers.rows import Digest
from editlog.rejects import Reject


class FolderRecords:
    """The records of every file whose name ends as one of `READERS`; hidden files are passed over.

    Raises UsageError for a folder without such a file.
    """

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        found = (path for path in folder.rglob("*") if path.is_file() and plain_suffix(path.name) in READERS)
        visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
        self._paths = sorted(visible)
        if not self._paths:
            raise UsageError(f"{folder} holds no file of facts; the endings are: {', '.join(sorted(READERS))}")
        self.converted = 0
        self._folder, self._limit = folder, limit
        self._digest = Digest()

    @property
    def sha256(self) -> str | None:
        """Tagged hash over the files' names and hashes; None until all were read."""
        return self._digest.tagged

    def __iter__(self) -> Iterator[Record | Reject]:
        left = self._limit
        for path in self._paths:
            records, name = open_file(path, limit=left), path.relative_to(self._folder).as_posix()
            before, count = self.converted, 0
            for record in records:
                count += 1
                self.converted = before + records.converted
                yield record._replace(reason=f"{name}: {record.reason}") if isinstance(record, Reject) else record
            self._digest.update(f"{name}\x00{records.sha256}\x00".encode())
            left = None if left is None else left - count
        self._digest.at_end = True
