"""MANIFEST: which position of which log a replica stands at, and the segments that hold it.

Published by one atomic rename after every file it names is durable, so that a reader finds a whole replica or the
one before. A file that a newer manifest does not need is named in `superseded`, with the moment that happened, and
stays for as long as a reader may be about to open it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from editlog import durable
from editlog.bodies import Hash, Seq
from editlog.errors import IntegrityError, UsageError
from editlog.head import Head
from editlog.segments import PartName, Segment

MANIFEST = "MANIFEST"

_MAX_BYTES = 64 * 2**20


class Manifest(BaseModel):
    """A replica at one position: the head of the log there, and its segments, in order and without a gap."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    workspace: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    seq: Seq
    hash: Hash
    epoch: Seq
    published_at: AwareDatetime
    segments: tuple[Segment, ...]
    superseded: dict[PartName, AwareDatetime] = {}

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        last = 0
        for segment in self.segments:
            if segment.first != last + 1 or segment.last < segment.first:
                raise ValueError(f"no segment begins at event {last + 1}")
            last = segment.last
        if last != self.seq:
            raise ValueError(f"its segments end at event {last}")
        return self

    @property
    def head(self) -> Head:
        """The position of the log that the replica stands at."""
        return Head(self.workspace, self.seq, self.hash, self.epoch)

    @property
    def names(self) -> set[str]:
        """The names of its files."""
        return {part.name for segment in self.segments for part in segment.parts}

    def age(self, now: datetime) -> float:
        """Seconds since it was published, 0 where the clock went back."""
        return max(0.0, (now - self.published_at).total_seconds())


def read_manifest(directory: Path) -> Manifest:
    """The manifest; raises UsageError where there is no replica, IntegrityError where it is damaged."""
    path = directory / MANIFEST
    try:
        with path.open("rb") as file:
            return Manifest.model_validate_json(file.read(_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no replica in {directory}: the next command that writes to the log makes one"
        ) from None
    except ValidationError as error:
        what = error.errors(include_url=False)[0]["msg"]
        raise IntegrityError(
            f"{path} is damaged ({what}): delete {directory}, the next command that writes makes it anew"
        ) from error


def publish(directory: Path, manifest: Manifest) -> None:
    """Let readers have `manifest`; every file it names is durable."""
    content = manifest.model_dump_json(indent=1).encode() + b"\n"
    durable.write_atomically(directory / MANIFEST, content, point="replica.manifest")
