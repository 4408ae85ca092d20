"""Files that are there whole or not at all: temporary file, fsync, rename, fsync of the directory.

What is made here has the access rights that the user's umask says, so that readers may run under another name.
"""

from __future__ import annotations

import filecmp
import hashlib
import shutil
from pathlib import Path

from editlog import durable
from editlog.durable import make_directory, temporary_beside, write_atomically

__all__ = ["file_sha256", "make_directory", "publish_directory", "temporary_beside", "write_atomically"]


def publish_directory(temporary: Path, final: Path) -> None:
    """Rename a finished directory into place, its files made durable first.

    An equal one that is there already stays; one that differs is damaged, since its name says what is in it, and
    gives way.
    """
    for file in sorted(temporary.iterdir()):
        durable.sync(file, point="snapshot.file")
    durable.sync_directory(temporary, point="snapshot.inside")
    if final.exists():
        if _equal_directories(temporary, final):
            shutil.rmtree(temporary)  # whoever made that one may have died before its name was durable
        else:
            damaged = temporary_beside(final)
            durable.rename(final, damaged, point="snapshot.aside")
            durable.rename(temporary, final, point="snapshot")
            shutil.rmtree(damaged)
    else:
        durable.rename(temporary, final, point="snapshot")
    durable.sync_directory(final.parent, point="snapshot")


def _equal_directories(one: Path, other: Path) -> bool:
    names = {file.name for file in one.iterdir()}
    if {file.name for file in other.iterdir()} != names:
        return False
    equal, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return set(equal) == names


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
