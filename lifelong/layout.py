"""Where everything of a workspace lies, and which workspace is meant."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from editlog.errors import IntegrityError

HOME_VARIABLE = "LIFELONG_HOME"
DEFAULT_HOME = "lifelong-workspace"

STATES = "states"
"""The folder of editors' states, beside the packs."""

_PACK_NAME = re.compile(r"[0-9a-f]{64}")


def resolve_home(home: Path | str | None = None) -> Path:
    """The workspace meant: `home`, else $LIFELONG_HOME, else ./lifelong-workspace."""
    return Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().absolute()


@dataclass(frozen=True)
class Layout:
    """The paths of one workspace."""

    home: Path

    @property
    def config(self) -> Path:
        """The configuration, TOML."""
        return self.home / "lifelong.toml"

    @property
    def log(self) -> Path:
        """The edit log's directory: database, HEAD and lock."""
        return self.home / "log"

    @property
    def replica(self) -> Path:
        """The readers' copy of the log: a cache, made again by whoever writes."""
        return self.log / "replica"

    @property
    def experts(self) -> Path:
        """Packs, each named by the hash of its bytes."""
        return self.home / "experts"

    @property
    def states(self) -> Path:
        """What editors must remember between jobs, each named by the hash of its bytes."""
        return self.experts / STATES

    @property
    def snapshots(self) -> Path:
        """Published snapshots, and CURRENT, which names the one that is served."""
        return self.home / "snapshots"

    @property
    def runs(self) -> Path:
        """One directory a job, for what it has finished and for its report."""
        return self.home / "runs"

    @property
    def merging(self) -> Path:
        """What a merge under way has trained; it is there from the start of a job that a merge follows."""
        return self.runs / "merging"

    @property
    def rejects(self) -> Path:
        """One file for each ingest that rejected lines."""
        return self.home / "rejects"

    @property
    def recipes(self) -> Path:
        """The workspace's own recipes, found before the shipped ones."""
        return self.home / "recipes"


def pack_path(directory: Path, name: str) -> Path:
    """Where the pack of that name lies; raises IntegrityError for anything that is not a pack's name."""
    if not _PACK_NAME.fullmatch(name):
        raise IntegrityError(f"{name[:80]!r} is not the name of a pack (64 hex digits)")
    return directory / f"{name}.safetensors"
