"""Files that outlive a crash: every write, fsync, rename and directory fsync of this project is done here.

A name is durable once its directory is synced, a content once its file is: `write_atomically` does both, in the
one order in which a crash leaves the old file or the new one and never a part. Each step passes two failpoints
under the `point` that the caller names (`head.next.sync.before`), and an error of the disk is told in one
sentence: a full disk as LifelongError (exit 1), one that fails to write as IntegrityError (exit 6).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from editlog.errors import IntegrityError, LifelongError
from editlog.failpoints import around

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def operation(point: str, path: Path) -> Iterator[None]:
    """One operation on `path`: its failpoints around it, and the disk's errors in a user's words."""
    with told(path), around(point):
        yield


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell the disk's errors in a user's words: a full disk as LifelongError, a failing one as IntegrityError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(path) from error
        if error.errno == errno.EIO:
            raise IntegrityError(
                f"the disk failed while {path} was written: nothing acknowledged is lost; look after the disk first, "
                "then do the same again"
            ) from error
        raise


def disk_full(path: Path) -> LifelongError:
    """What a user is told where the disk is full."""
    return LifelongError(
        f"the disk is full: {path} could not be written, nothing acknowledged is lost; free some space, then do the "
        "same again"
    )


def temporary_beside(path: Path) -> Path:
    """A name that nothing has yet, hidden, in the same directory: `.<name>.<16 hex digits>`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def write(path: Path, content: bytes, *, point: str) -> None:
    """Make `path` hold `content`, durably but for its name."""
    with told(path), path.open("wb") as file:
        with around(f"{point}.write"):
            file.write(content)
            file.flush()
        with around(f"{point}.sync"):
            os.fsync(file.fileno())


def append(path: Path, lines: bytes, *, point: str) -> None:
    """Add whole lines to the file, durably; a last line that a crash cut short is ended first.

    Processes take turns. The file's name is made durable while it is empty, whoever made it: what stands in a file
    can then be relied on, also where the one who made it died behind its first line.
    """
    with told(path), path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if not end:
            sync_directory(path.parent, point=point)
        torn = end and os.pread(file.fileno(), 1, end - 1) != b"\n"
        with around(f"{point}.append"):
            file.write((b"\n" if torn else b"") + lines)
            file.flush()
        with around(f"{point}.sync"):
            os.fsync(file.fileno())


def sync(path: Path, *, point: str) -> None:
    """Make the content of a file durable that something else has written."""
    with operation(f"{point}.sync", path), path.open("rb") as file:
        os.fsync(file.fileno())


def rename(source: Path, target: Path, *, point: str) -> None:
    """Give `source` the name `target`, in place of what had it; durable once the directory is synced."""
    with operation(f"{point}.rename", target):
        source.replace(target)


def sync_directory(directory: Path, *, point: str) -> None:
    """Make the names in a directory durable."""
    with operation(f"{point}.sync_directory", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory and those above it where they are missing, their names durable.

    One that is there and empty may have been made by a process that died before its name was durable; whoever put
    something into it has seen to that first.
    """
    if directory.is_dir():
        if any(directory.iterdir()):
            return
    else:
        if not directory.parent.is_dir():
            make_directory(directory.parent)
        with operation("directory.make", directory):
            directory.mkdir(exist_ok=True)
    sync_directory(directory.parent, point="directory")


def write_atomically(path: Path, content: bytes, *, point: str = "file") -> None:
    """Put `content` at `path` so that a reader or a crash sees the old file or the new one, never a part."""
    make_directory(path.parent)
    temporary = temporary_beside(path)
    try:
        write(temporary, content, point=point)
        rename(temporary, path, point=point)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent, point=point)
