"""Ed25519 signatures over statements: what is signed, by which key, for which workspace, and until when.

A public key is written `ed25519:` and 64 hex digits, a signature `ed25519:` and 128. What is signed is the canonical
JSON of a statement behind a domain of its own (docs/FORMAT.md), so that no signature passes for another. The
package `cryptography` is only loaded where a signature is made or checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editlog import durable
from editlog.canonical import canonical_json
from editlog.errors import LifelongError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TAG = "ed25519:"
PUBLIC = re.compile(rf"{TAG}[0-9a-f]{{64}}")
SIGNATURE = re.compile(rf"{TAG}[0-9a-f]{{128}}")
_DOMAIN = b"lifelong/signature/v1\x00"
_MAX_BYTES = 4096


@dataclass(frozen=True)
class SigningKey:
    """A private key that is loaded; `public` names it."""

    public: str
    _private: Ed25519PrivateKey

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a private key from its PEM file; raises UsageError where that is none."""
        ed25519, serialization = _cryptography()
        try:
            with path.open("rb") as file:
                private = serialization.load_pem_private_key(file.read(_MAX_BYTES), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{path} cannot be used as a signing key: {error}") from error
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise UsageError(f"{path} is not an Ed25519 key: make one with `lifelong keys new`")
        return cls(_public_of(private), private)

    @classmethod
    def create(cls, path: Path) -> SigningKey:
        """Make a key and keep it at `path`, readable by its owner only; raises UsageError where there is a file."""
        ed25519, serialization = _cryptography()
        private = ed25519.Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(f"{path} exists already: choose another name, a key is never overwritten") from None
        with open(descriptor, "wb") as file, durable.operation("key.write", path):  # noqa: PTH123 - no path
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        durable.sync_directory(path.parent, point="key")
        return cls(_public_of(private), private)

    def sign(self, statement: Mapping[str, Any]) -> str:
        """The signature of a statement, tagged."""
        return TAG + self._private.sign(_message(statement)).hex()


def is_signed(statement: Mapping[str, Any], public: str, signature: str) -> bool:
    """Whether `signature` is that of the key `public` over exactly this statement; False for what is no signature."""
    if not (PUBLIC.fullmatch(public) and SIGNATURE.fullmatch(signature)):
        return False
    ed25519, _ = _cryptography()
    from cryptography.exceptions import InvalidSignature

    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.removeprefix(TAG)))
        key.verify(bytes.fromhex(signature.removeprefix(TAG)), _message(statement))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(statement: Mapping[str, Any]) -> bytes:
    return _DOMAIN + canonical_json(dict(statement))


def _public_of(private: Ed25519PrivateKey) -> str:
    return TAG + private.public_key().public_bytes_raw().hex()


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise LifelongError(
            "signatures need the package cryptography, which is not installed: pip install 'lifelong[signing]'"
        ) from error
    return ed25519, serialization
