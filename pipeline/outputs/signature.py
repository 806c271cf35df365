"""Signs with an Ed25519 key what stock `openssl` can check, and checks it.

The signature file holds the 64 raw bytes of RFC 8032 over the manifest's bytes, which is what
`openssl pkeyutl -verify -pubin -inkey KEY.pub.pem -rawin` expects. Ed25519 signatures are
deterministic, so signing the same manifest again gives the same file.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from pydantic import SecretStr

    from pipeline.config.credentials import Credentials

_HOW_TO_MAKE_ONE = (
    "Make one with `openssl genpkey -algorithm ed25519 -out audit.pem`, and its public half with "
    "`openssl pkey -in audit.pem -pubout -out audit.pub.pem`."
)


class Signer:
    """Signs manifests with one private key.

    Args:
        key: The Ed25519 private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.fingerprint = fingerprint(key.public_key())
        """SHA-256 of the public key, in hexadecimal; names the key in the trail."""

    def __repr__(self) -> str:
        return f"Signer({self.fingerprint[:16]}…)"

    @classmethod
    def from_pem(cls, pem: SecretStr, passphrase: SecretStr | None = None) -> Self:
        """Read the key from PEM text, protected by a passphrase or not.

        Raises:
            SettingsRefused: It is no key, not Ed25519, or the passphrase is wrong or missing.
        """
        given = None if passphrase is None else passphrase.get_secret_value().encode()
        try:
            key = load_pem_private_key(pem.get_secret_value().encode(), given or None)
        except TypeError:
            wanted = "needs audit.signing_passphrase" if given is None else "has no passphrase"
            raise _refused(f"audit.signing_key: the key {wanted}") from None
        except (ValueError, UnsupportedAlgorithm):
            why = "is no private key in PEM" + (", or the passphrase is wrong" if given else "")
            raise _refused(f"audit.signing_key: {why}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise _refused("audit.signing_key: is not an Ed25519 key")
        return cls(key)

    @classmethod
    def of(cls, credentials: Credentials) -> Self | None:
        """Give who signs by the key that the settings name; None where they name none.

        Raises:
            SettingsRefused: As for `from_pem`.
        """
        key = credentials.signing_key
        return None if key is None else cls.from_pem(key, credentials.signing_passphrase)

    def sign(self, message: bytes) -> bytes:
        """Give the 64 bytes of the signature."""
        return self._key.sign(message)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether a signature over these bytes is this key's."""
        return is_signed(self._key.public_key(), message, signature)


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a public key from PEM.

    Raises:
        SettingsRefused: It is no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("--public-key: is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _refused("--public-key: is not an Ed25519 key")
    return key


def is_signed(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature was made over these bytes with the key's private half."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def fingerprint(key: Ed25519PublicKey) -> str:
    """Give SHA-256 over the key as DER SubjectPublicKeyInfo, in hexadecimal."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def _refused(problem: str) -> SettingsRefused:
    return SettingsRefused([problem], next_step=_HOW_TO_MAKE_ONE)
