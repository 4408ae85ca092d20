"""What the configuration says of trust: who is told each head of the log, and with which key it is signed."""

from __future__ import annotations

from pathlib import Path

from editlog.signing import SigningKey
from editlog.store import EditLog
from editlog.witness import Witness, last_told
from lifelong.config import Config


def witness_of(config: Config, home: Path) -> Witness | None:
    """The witness of the configuration; paths are taken from the workspace's folder."""
    if config.head_witness is None:
        return None
    told = config.head_witness
    target = home / Path(told).expanduser() if isinstance(told, str) else tuple(told)
    return Witness(target, key=home / Path(config.head_key).expanduser() if config.head_key else None)


def witness_key(config: Config, home: Path) -> str | None:
    """The public key that heads are signed with; None where they are not."""
    return SigningKey.load(home / Path(config.head_key).expanduser()).public if config.head_key else None


def witness_lag(log: EditLog) -> tuple[int, str | None]:
    """How many events the witness has not been told of, and what went wrong when it last failed."""
    told = last_told(log.directory)
    return max(log.head().seq - told.seq, 0), told.problem
