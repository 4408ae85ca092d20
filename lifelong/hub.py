"""Facts from the library `datasets`: a name on the hub or a folder that `save_to_disk` wrote, a row at a time.

`datasets:NAME`, `datasets:NAME:SPLIT` or `datasets:NAME:SPLIT:CONFIG`; without a split it is `train`. A data set of the
hub is streamed, so memory is flat; none runs code of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from editlog.errors import LifelongError, UsageError
from editlog.readers.rows import Digest, Row, RowRecords, as_line

PREFIX = "datasets:"


def opened(source: str | Path | BinaryIO, *, limit: int | None) -> str | Path | BinaryIO | DatasetRecords:
    """The records of a source that names a data set; any other source as it is."""
    return DatasetRecords(source, limit=limit) if isinstance(source, str) and source.startswith(PREFIX) else source


class DatasetRecords(RowRecords):
    """The rows of a data set. Raises UsageError where the library or the data set cannot be had."""

    def __init__(self, source: str, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        name, _, rest = source.removeprefix(PREFIX).partition(":")
        split, _, config = rest.partition(":")
        self._source = source
        self._digest = Digest()
        self._table = _table_of(name, split or "train", config or None)

    @property
    def sha256(self) -> str | None:
        """Tagged hash over the rows as lines of JSON; None until all were read."""
        return self._digest.tagged

    def _rows(self) -> Iterator[Row]:
        try:
            for number, cells in enumerate(self._table, start=1):
                self._digest.update(as_line(cells) + b"\n")
                yield Row(number, cells)
        except OSError as error:
            raise LifelongError(f"cannot read {self._source} to its end: {ascii(str(error))[1:201]}") from error
        self._digest.at_end = True


def _table_of(name: str, split: str, config: str | None) -> Any:
    try:
        import datasets as library
    except ImportError:
        raise UsageError("reading data sets needs the library: pip install 'lifelong[datasets]'") from None
    try:
        if Path(name).is_dir():
            found = library.load_from_disk(name)
            return found[split] if hasattr(found, "keys") else found
        return library.load_dataset(name, config, split=split, streaming=True)
    except Exception as error:  # a hub, a cache and a folder of someone else's raise nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"cannot open the data set {name}: {ascii(reason)[1:-1][:200]}") from error
