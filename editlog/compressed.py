"""Compressed files, told by the end of their name, read as streams in flat memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast


def _xz(stream: io.BufferedIOBase) -> io.BufferedIOBase:
    return lzma.LZMAFile(cast("IO[bytes]", stream))


def _zstandard(stream: io.BufferedIOBase) -> io.BufferedIOBase:
    import pyarrow as pa

    return io.BufferedReader(cast("io.RawIOBase", pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")))


UNPACKERS: dict[str, Callable[[io.BufferedIOBase], io.BufferedIOBase]] = {
    ".gz": lambda stream: gzip.GzipFile(fileobj=stream),
    ".bz2": bz2.BZ2File,
    ".xz": _xz,
    ".zst": _zstandard,
}

FAILURES = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged file raises."""


def unpacked(stream: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    """The stream's content: decompressed where the name says how, else itself."""
    unpack = UNPACKERS.get(Path(name).suffix.lower())
    return unpack(stream) if unpack else stream


def plain_suffix(name: str) -> str:
    """The end of a name without that of its compression: `.csv` of `facts.csv.gz`."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in UNPACKERS else path.suffix
