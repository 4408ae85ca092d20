"""Named points at which a crash test may end the process, or have the disk fail.

`LIFELONG_FAILPOINT=head.next.sync.before` ends the process there with code 137, as kill -9 would: no clean-up, no
flush. `LIFELONG_FAILPOINT=head.next.sync.before=ENOSPC` (or `=EIO`) raises that error of the disk there instead: at
a `.before` the operation never happened, at an `.after` it happened and was reported as failed. Unset, a point costs
one look into the environment.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "LIFELONG_FAILPOINT"


def hit(name: str) -> None:
    """Pass the point `name`: where the environment names it, end the process or raise its OSError."""
    asked, _, fault = os.environ.get(VARIABLE, "").partition("=")
    if asked != name:
        return
    if fault in ("", "crash"):
        os._exit(137)
    code = getattr(errno, fault)
    raise OSError(code, os.strerror(code), name)


@contextmanager
def around(name: str) -> Iterator[None]:
    """Pass `<name>.before`, do the operation in the block, pass `<name>.after`."""
    hit(f"{name}.before")
    yield
    hit(f"{name}.after")
