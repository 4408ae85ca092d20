"""What the configuration says of trust: the witness, the keys, and what is asked of a fact before it is applied."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from editlog.endorsement import LIFETIME, Signer
from editlog.errors import UsageError
from editlog.history import LoggedFact
from editlog.signing import SigningKey
from editlog.store import EditLog
from editlog.witness import Witness, last_told
from lifelong.config import KEY_NAME, Config
from lifelong.jobs.admitting import Terms
from lifelong.results import Endorsed, Key
from policies.admission import Rules


def witness_of(config: Config, home: Path) -> Witness | None:
    """The witness of the configuration; paths are taken from the workspace's folder."""
    if config.head_witness is None:
        return None
    told = config.head_witness
    target = home / Path(told).expanduser() if isinstance(told, str) else tuple(told)
    return Witness(target, key=home / Path(config.head_key).expanduser() if config.head_key else None)


def witness_lag(log: EditLog) -> tuple[int, str | None]:
    """How many events the witness has not been told of, and what went wrong when it last failed."""
    told = last_told(log.directory)
    return max(log.head().seq - told.seq, 0), told.problem


def rules_of(config: Config) -> Rules:
    """What is asked of a fact, and which keys may sign for whom."""
    trusted: dict[str, frozenset[str]] = {}
    for name, trust in config.trusted_keys.items():
        trusted[trust.key] = trusted.get(trust.key, frozenset()) | frozenset(trust.authors or (name,))
    return Rules(config.require_signature, config.require_approval, trusted)


def terms_of(config: Config) -> Terms:
    """What is asked of facts and jobs, as admitting and planning take it."""
    return Terms(rules_of(config), config.budget, config.priority, config.admission)


def signer_of(key: Path | None, days: float | None) -> Signer | None:
    """The signer with the key in a file, for signatures that hold some days; None where there is no file."""
    if key is None:
        return None
    return Signer(SigningKey.load(key), LIFETIME if days is None else timedelta(days=days))


def new_key(name: str, directory: Path, *, dry_run: bool = False) -> Key:
    """Make `<name>.key` in `directory`; the public key goes into lifelong.toml wherever it is to be trusted."""
    if not KEY_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a key: use letters, digits, - and _, at most 64")
    path = directory / f"{name}.key"
    public = None if dry_run else SigningKey.create(path).public
    return Key(name=name, key=public, authors=[name], file=str(path))


def trusted_keys(config: Config) -> list[Key]:
    """The keys that the configuration trusts, in its order."""
    items = config.trusted_keys.items()
    return [Key(name=name, key=one.key, authors=list(one.authors or (name,)), file=None) for name, one in items]


def approve(
    log: EditLog, refs: list[str], *, actor: str, reason: str | None, signer: Signer | None, dry_run: bool
) -> Endorsed:
    """Approve facts; see `Workspace.approve`."""
    facts = log.approve(refs, actor=actor, reason=reason, signer=signer, dry_run=dry_run)
    return _endorsed(facts, actor, signer, dry_run)


def reject(log: EditLog, refs: list[str], *, actor: str, reason: str | None, dry_run: bool) -> Endorsed:
    """Reject facts; see `Workspace.reject`."""
    return _endorsed(log.reject(refs, actor=actor, reason=reason, dry_run=dry_run), actor, None, dry_run)


def _endorsed(facts: list[LoggedFact], actor: str, signer: Signer | None, dry_run: bool) -> Endorsed:
    own = [fact.ref for fact in facts if actor in (fact.fact.author, fact.actor)]
    return Endorsed([fact.ref for fact in facts], actor, signer.key.public if signer else None, own, dry_run)
