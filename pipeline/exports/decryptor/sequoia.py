"""Decrypts OpenPGP messages with Sequoia, in the child.

What the binding (pysequoia 0.1.35) does was measured: without `store` a signature is not looked
at; with it a message must be signed, validly, by one of the certificates that `store` gives;
`decrypt_file` takes paths, so the pipes are named by theirs; error texts carry stack traces and
are read here, never shown.
"""

from __future__ import annotations

from typing import Final

import pysequoia
from pysequoia.packet import Packet, PacketPile, Tag

from pipeline.exports.container import is_age_identity
from pipeline.exports.decryptor.protocol import Answer, Request
from pipeline.exports.verdict import Refused, Verdict

_TEXTS: Final = (
    ("No key to decrypt message", Verdict.BEYOND_SEQUOIA),
    ("Policy rejected symmetric", Verdict.BEYOND_SEQUOIA),
    ("AEAD Encrypted Data Packet", Verdict.BEYOND_SEQUOIA),
    ("Symmetrically Encrypted Data", Verdict.NO_INTEGRITY),
    ("no valid signatures found", Verdict.SIGNATURE_BAD),
    ("Unexpected message structure", Verdict.SIGNATURE_UNJUDGED),
    ("Truncated packet", Verdict.TRUNCATED),
    ("unexpected EOF", Verdict.TRUNCATED),
)
_PUBLIC: Final = (Tag.PublicKey, Tag.PublicSubkey)
_SECRET: Final = (Tag.SecretKey, Tag.SecretSubkey)
_PRIMARY: Final = (Tag.SecretKey, Tag.PublicKey)
_SUBKEYS: Final = (Tag.SecretSubkey, Tag.PublicSubkey)
_ARMOR: Final = b"-----BEGIN PGP"
_ARMOR_END: Final = b"-----END PGP PRIVATE KEY BLOCK-----"
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
    decryptor, primary, passwords = None, None, []
    if request.by_password:
        passwords = [request.passphrase or ""]
    else:
        secret, primary = key_for(key, request.recipients)
        decryptor = unlocked(secret, request.passphrase)
    allowed = certificates(request.signers)
    asked: list[str] = []

    def store(key_ids: list[str]) -> list[pysequoia.Cert]:
        asked.extend(key_ids)
        return allowed

    try:
        opened = pysequoia.decrypt_file(
            "/dev/stdin", "/dev/stdout", decryptor, store if allowed else None, passwords
        )
    except RuntimeError as error:
        verdict = _verdict(str(error), asked, allowed)
        if request.by_password and verdict is Verdict.BEYOND_SEQUOIA and "No key" in str(error):
            verdict = Verdict.WRONG_PASSPHRASE
        raise Refused(verdict) from None
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


def key_for(key: bytes, recipients: tuple[str, ...]) -> tuple[pysequoia.Tsk, str]:
    """Find the part of a key that the message names, and leave every other part out.

    The binding decrypts with one part of a key, its first that may encrypt; a message may be
    sealed to another. A file may hold several keys.

    Returns:
        The key without its other parts, and its primary fingerprint.

    Raises:
        Refused: `KEY_OF_OTHER_KIND`, `KEY_UNUSABLE`, `WRONG_KEY`.
    """
    if is_age_identity(key):
        raise Refused(Verdict.KEY_OF_OTHER_KIND)
    secrets = [packets for packets in _keys(key) if any(each.tag in _SECRET for each in packets)]
    if not secrets:
        raise Refused(Verdict.KEY_UNUSABLE)
    for packets in secrets:
        for part in [each for each in packets if each.tag in (*_SECRET, *_PUBLIC)]:
            own = [(part.fingerprint or "").lower()]
            if not recipients or any(_names(recipient, own) for recipient in recipients):
                hidden = not recipients or not any(recipients)
                return _key_of(packets if hidden else _only(packets, part)), _print(packets[0])
    raise Refused(Verdict.WRONG_KEY)


def _keys(key: bytes) -> list[list[Packet]]:
    """Split a file into its keys, each a list of packets that starts with the primary."""
    found: list[list[Packet]] = []
    for block in key.split(_ARMOR_END):
        try:
            packets = list(PacketPile.from_bytes(block + _ARMOR_END if _ARMOR in block else block))
        except RuntimeError:
            continue
        for packet in packets:
            if packet.tag in _PRIMARY:
                found.append([])
            if found:
                found[-1].append(packet)
    return found


def _only(packets: list[Packet], part: Packet) -> list[Packet]:
    """Give a key without its subkeys, but for one."""
    kept, keeps = [], True
    for packet in packets:
        if packet.tag in _SUBKEYS:
            keeps = packet is part
        if keeps:
            kept.append(packet)
    return kept


def _key_of(packets: list[Packet]) -> pysequoia.Tsk:
    try:
        return pysequoia.Tsk.from_packets(packets)
    except (RuntimeError, TypeError):
        raise Refused(Verdict.KEY_UNUSABLE) from None


def _print(primary: Packet) -> str:
    return (primary.fingerprint or "").lower()


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


def unlocked(secret: pysequoia.Tsk, passphrase: str | None) -> pysequoia.PyDecryptor:
    """Give what decrypts with a key, its passphrase taken off where it has one.

    Raises:
        Refused: `PASSPHRASE_NEEDED`, `WRONG_PASSPHRASE`, `KEY_UNUSABLE`, `BEYOND_SEQUOIA`.
    """
    try:
        return secret.decryptor(passphrase)
    except RuntimeError as error:
        text = str(error)
    if "is not encrypted" in text:
        return secret.decryptor()
    if "No suitable decryption subkey" in text:
        raise Refused(Verdict.BEYOND_SEQUOIA)
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
