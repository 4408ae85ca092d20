"""What the check-up says of the readers' replica."""

from __future__ import annotations

import shutil

from editlog.replica import Replica
from editlog.store import EditLog
from lifelong.results import Check
from lifelong.workspace import Workspace


def checked(workspace: Workspace) -> Check:
    return next(check for check in workspace.doctor() if check.name == "replica")


def test_the_check_up_tells_how_the_replica_stands(published: Workspace) -> None:
    place = published.layout.replica
    assert checked(published).ok
    EditLog(published.layout.log).retract(["f4"], actor="ada", reason="wrong")  # by a program that keeps no replica
    assert (checked(published).ok, checked(published).detail[:15]) == (False, "1 events behind")
    published.log.retract(["f5"], actor="ada", reason="wrong")
    assert checked(published).ok
    part = place / Replica.open(place).manifest.segments[-1].texts.name
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    assert "is not what was written" in checked(published).detail
    published.rebuild()
    assert checked(published).ok
    shutil.rmtree(place)
    assert checked(published).ok
