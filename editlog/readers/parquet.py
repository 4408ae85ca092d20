"""Parquet to records, a thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from editlog.errors import LifelongError
from editlog.lines import open_path
from editlog.readers.rows import Digest, Row, RowRecords

_BATCH = 1024
_BLOCK = 1024 * 1024


class ParquetRecords(RowRecords):
    """The rows of one Parquet file; see `open_records` for what is raised."""

    def __init__(self, path: str | Path, *, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self._path = str(path)
        self._file = open_path(path)
        self._digest = Digest()

    @property
    def sha256(self) -> str | None:
        """Tagged hash of the file; None until its rows have been read."""
        return self._digest.tagged

    def _rows(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        with self._file as file:
            while block := file.read(_BLOCK):
                self._digest.update(block)
            self._digest.at_end = True
            file.seek(0)
            try:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH):
                    for cells in batch.to_pylist():
                        number += 1
                        yield Row(number, cells)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise LifelongError(f"cannot read {self._path} to its end: {ascii(str(error))[1:201]}") from error
