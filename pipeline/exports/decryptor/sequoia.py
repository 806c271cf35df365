"""Decrypts OpenPGP messages with Sequoia, in the child.

What the binding (pysequoia 0.1.35) does was measured: without `store` a signature is not looked
at; with it a message must be signed, validly, by one of the certificates that `store` gives;
`decrypt_file` takes paths, so the pipes are named by theirs; error texts carry stack traces and
are read here, never shown.
"""

from __future__ import annotations

from typing import Final

import pysequoia
from pysequoia.packet import PacketPile, Tag

from pipeline.exports.container import is_age_identity
from pipeline.exports.decryptor.protocol import Answer, Request
from pipeline.exports.verdict import Refused, Verdict

_TEXTS: Final = (
    ("No key to decrypt message", Verdict.WRONG_KEY),
    ("Symmetrically Encrypted Data", Verdict.NO_INTEGRITY),
    ("no valid signatures found", Verdict.SIGNATURE_BAD),
    ("Unexpected message structure", Verdict.SIGNATURE_UNJUDGED),
    ("Truncated packet", Verdict.TRUNCATED),
    ("unexpected EOF", Verdict.TRUNCATED),
)
_PUBLIC: Final = (Tag.PublicKey, Tag.PublicSubkey)
_SECRET: Final = (Tag.SecretKey, Tag.SecretSubkey)
_V4_HEX: Final = 40
_KEY_ID_HEX: Final = 16


def open_with_sequoia(request: Request, key: bytes) -> Answer:
    """Decrypt stdin to stdout.

    Args:
        request: Passphrase, signers and the recipients that the message names.
        key: The secret key's file.

    Raises:
        Refused: With why not.
    """
    secret, primary = _secret_key(key, request.recipients)
    decryptor = _decryptor(secret, request.passphrase)
    allowed = certificates(request.signers)
    asked: list[str] = []

    def store(key_ids: list[str]) -> list[pysequoia.Cert]:
        asked.extend(key_ids)
        return allowed

    try:
        opened = pysequoia.decrypt_file(
            "/dev/stdin", "/dev/stdout", decryptor, store if allowed else None
        )
    except RuntimeError as error:
        raise Refused(_verdict(str(error), asked, allowed)) from None
    signers = {signature.certificate for signature in opened.valid_sigs}
    if allowed and not signers:
        raise Refused(Verdict.UNSIGNED)
    return Answer(Verdict.OK, primary, min(signers, default=None))


def certificates(files: tuple[bytes, ...]) -> list[pysequoia.Cert]:
    """Read signers' certificates; a file may hold several.

    Raises:
        Refused: `SIGNERS_UNUSABLE`.
    """
    try:
        return [found for file in files for found in _split(file)]
    except RuntimeError:
        raise Refused(Verdict.SIGNERS_UNUSABLE) from None


def _split(file: bytes) -> list[pysequoia.Cert]:
    found = pysequoia.Cert.split_bytes(file)
    if not found:
        raise Refused(Verdict.SIGNERS_UNUSABLE)
    return found


def _secret_key(key: bytes, recipients: tuple[str, ...]) -> tuple[pysequoia.Tsk, str]:
    """Read the key and hold it against the recipients that the message names."""
    if is_age_identity(key):
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    try:
        packets = list(PacketPile.from_bytes(key))
        secret = pysequoia.Tsk.from_bytes(key)
    except RuntimeError:
        raise Refused(Verdict.KEY_UNUSABLE) from None
    if not any(packet.tag in _SECRET for packet in packets):
        raise Refused(Verdict.KEY_UNUSABLE)
    prints = [
        packet.fingerprint.lower()
        for packet in packets
        if packet.tag in (*_SECRET, *_PUBLIC) and packet.fingerprint
    ]
    if recipients and not any(_names(recipient, prints) for recipient in recipients):
        raise Refused(Verdict.WRONG_KEY)
    return secret, prints[0]


def _names(recipient: str, prints: list[str]) -> bool:
    """Tell whether a recipient is hidden or one of our key's parts (RFC 9580, 5.5.4)."""
    if not recipient:
        return True
    if len(recipient) != _KEY_ID_HEX:
        return recipient in prints
    return any(
        print_[-_KEY_ID_HEX:] == recipient
        if len(print_) == _V4_HEX
        else print_[:_KEY_ID_HEX] == recipient
        for print_ in prints
    )


def _decryptor(secret: pysequoia.Tsk, passphrase: str | None) -> pysequoia.PyDecryptor:
    try:
        return secret.decryptor(passphrase)
    except RuntimeError as error:
        text = str(error)
    if "is not encrypted" in text:
        return secret.decryptor()
    if "material is encrypted" in text:
        raise Refused(Verdict.PASSPHRASE_NEEDED)
    if passphrase is None:
        raise Refused(Verdict.KEY_UNUSABLE)
    raise Refused(Verdict.WRONG_PASSPHRASE)


def _verdict(text: str, asked: list[str], allowed: list[pysequoia.Cert]) -> Verdict:
    found = next((verdict for part, verdict in _TEXTS if part in text), Verdict.DAMAGED)
    if found is not Verdict.SIGNATURE_BAD:
        return found
    if not asked:
        return Verdict.UNSIGNED
    known = {
        packet.fingerprint
        for certificate in allowed
        for packet in PacketPile.from_bytes(bytes(certificate))
        if packet.tag in _PUBLIC
    }
    return found if known & set(asked) else Verdict.SIGNER_UNKNOWN
