"""Decrypts age files in the child, by identity or by passphrase.

Source: C2SP age specification, https://c2sp.org/age; decryption by X25519 is pyrage's (Rust).
"""

from __future__ import annotations

from typing import Final

import pyrage

from pipeline.exports.container import is_age
from pipeline.exports.decryptor.protocol import Answer, Request
from pipeline.exports.verdict import Refused, Verdict

_BUFFER_BYTES: Final = 2**20
_IDENTITY: Final = "AGE-SECRET-KEY-1"
_PGP_KEY: Final = b"PGP PRIVATE KEY"
_SSH_KEY: Final = b" PRIVATE KEY-----"
_TEXTS: Final = (
    ("No matching keys found", Verdict.WRONG_KEY),
    ("Incomplete header", Verdict.TRUNCATED),
    ("failed to fill whole buffer", Verdict.TRUNCATED),
)


def open_age(request: Request, key: bytes) -> Answer:
    """Decrypt stdin to stdout.

    Args:
        request: Whether a passphrase opens the export; the passphrase, of it or of the identity.
        key: The identity file, empty where there is none.

    Raises:
        Refused: With why not.
    """
    with (
        open(0, "rb", buffering=_BUFFER_BYTES, closefd=False) as sealed,
        open(1, "wb", buffering=_BUFFER_BYTES, closefd=False) as plain,
    ):
        if request.engine == "age_passphrase":
            from pipeline.exports.decryptor.age_passphrase import decrypt  # noqa: PLC0415 - seldom needed.

            decrypt(sealed, plain, request.passphrase)
            return Answer(Verdict.OK)
        identities = _identities(key, request.passphrase)
        try:
            pyrage.decrypt_io(sealed, plain, identities)
        except (pyrage.DecryptError, OSError) as error:
            raise Refused(_verdict(str(error))) from None
    native = [each for each in identities if isinstance(each, pyrage.x25519.Identity)]
    recipients = ",".join(str(identity.to_public()) for identity in native)
    return Answer(Verdict.OK, recipients or None)


def _identities(
    key: bytes, passphrase: str | None
) -> list[pyrage.x25519.Identity | pyrage.ssh.Identity]:
    """Read an identity file, which may itself be sealed by passphrase."""
    if is_age(key):
        key = _unsealed(key, passphrase)
    if _PGP_KEY in key or key[:1] >= b"\x80":
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    lines = [line.strip() for line in key.decode("utf-8", "replace").splitlines()]
    if _SSH_KEY in key:
        return [_ssh_identity(key)]
    secrets = [line for line in lines if line.upper().startswith(_IDENTITY)]
    if not secrets:
        raise Refused(Verdict.KEY_UNUSABLE)
    try:
        return [pyrage.x25519.Identity.from_str(secret) for secret in secrets]
    except pyrage.IdentityError:
        raise Refused(Verdict.KEY_UNUSABLE) from None


def _ssh_identity(key: bytes) -> pyrage.ssh.Identity:
    """Read an SSH key (RSA or Ed25519), to which age can seal too."""
    try:
        return pyrage.ssh.Identity.from_buffer(key)
    except pyrage.IdentityError:
        raise Refused(Verdict.SSH_KEY_UNUSABLE) from None


def _unsealed(key: bytes, passphrase: str | None) -> bytes:
    if passphrase is None:
        raise Refused(Verdict.PASSPHRASE_NEEDED)
    try:
        opened: bytes = pyrage.passphrase.decrypt(key, passphrase)
    except pyrage.DecryptError:
        raise Refused(Verdict.WRONG_PASSPHRASE) from None
    return opened


def _verdict(text: str) -> Verdict:
    return next((verdict for part, verdict in _TEXTS if part in text), Verdict.DAMAGED)
