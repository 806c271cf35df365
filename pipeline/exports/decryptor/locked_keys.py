"""Puts the secret keys of a file under a passphrase, because gpg writes down what it is given.

gpg decrypts only with keys that its agent keeps in a folder. The folder lies in memory where it
can and is removed at the end, but a kill of all our processes leaves it; so no key may come into
it that is not locked under a passphrase, which those processes alone knew.

Source: RFC 9580 sections 5.5.3 (secret keys: protection 254) and 3.7.1.3 (iterated passphrase).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline.exports.openpgp_head import dearmored, packet_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN: Final = b"-----BEGIN PGP "
_SECRET_TAGS: Final = (5, 7)
_RSA, _ELGAMAL, _DSA, _ON_CURVES, _ECDH = (1, 2, 3), (16, 20), (17,), (18, 19, 22), 18
_NUMBERS: Final = {
    **dict.fromkeys(_RSA, 2),
    **dict.fromkeys(_ELGAMAL, 3),
    **dict.fromkeys(_DSA, 4),
    **dict.fromkeys(_ON_CURVES, 1),
}
"""How many numbers the public part of a key has, by algorithm."""
_VERSION, _CREATED_BYTES, _CHECKSUM_BYTES = 4, 4, 2
_OPEN, _HASHED = 0, 254
_AES256, _SHA256, _ITERATED = 9, 8, 3
_COUNT, _COUNTED_BYTES = 0x60, 65_536
"""How often a passphrase is hashed, as an octet and in bytes: ours is random, so not often."""
_BLOCK: Final = 16


class LockedKeys(NamedTuple):
    """A file's keys, ready for gpg.

    Attributes:
        octets: The keys as packets.
        were_open: Whether a secret key among them had no passphrase, and has one now.
    """

    octets: bytes
    were_open: bool


def locked(file: bytes, passphrase: str) -> LockedKeys | None:
    """Put every secret key that has no passphrase under this one; the others stay as they are.

    Args:
        file: A key file: packets, or armored blocks of them.
        passphrase: The passphrase.

    Returns:
        The keys, or None where a packet is not one that this program knows how to lock.
    """
    octets = b"".join(dearmored(block) for block in _armored(file)) or file
    packets, were_open = [], False
    try:
        for tag, packet, body in _packets(octets):
            is_open = tag in _SECRET_TAGS and body[_public_end(body)] == _OPEN
            were_open = were_open or is_open
            packets.append(_packed(tag, _locked(body, passphrase)) if is_open else packet)
    except (ValueError, IndexError):
        return None
    return LockedKeys(b"".join(packets), were_open)


def _armored(file: bytes) -> Iterator[bytes]:
    at = file.find(_BEGIN)
    while at >= 0:
        end = file.find(_BEGIN, at + 1)
        yield file[at : end if end >= 0 else None]
        at = end


def _packets(octets: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Give each packet's tag, the whole of it and its body."""
    at = 0
    while at < len(octets):
        found = packet_at(octets, at)
        if found is None or found[2] is None or found[2] > len(octets):
            raise ValueError
        tag, start, end = found
        yield tag, octets[at:end], octets[start:end]
        at = end or len(octets)


def _public_end(body: bytes) -> int:
    """Give where the public part of a secret key ends."""
    if body[0] != _VERSION:
        raise ValueError
    algorithm = body[1 + _CREATED_BYTES]
    at = 2 + _CREATED_BYTES
    if algorithm not in _NUMBERS:
        raise ValueError
    if algorithm in _ON_CURVES:
        at += 1 + body[at]
    for _ in range(_NUMBERS[algorithm]):
        at += 2 + (int.from_bytes(body[at : at + 2], "big") + 7) // 8
    return at + 1 + body[at] if algorithm == _ECDH else at


def _locked(body: bytes, passphrase: str) -> bytes:
    """Give the body of an open secret key under a passphrase (AES-256 in CFB, with SHA-1)."""
    end = _public_end(body)
    numbers = body[end + 1 : -_CHECKSUM_BYTES]
    if sum(numbers) % (1 << 16) != int.from_bytes(body[-_CHECKSUM_BYTES:], "big"):
        raise ValueError
    salt, start = os.urandom(8), os.urandom(_BLOCK)
    salted = salt + passphrase.encode()
    times = max(_COUNTED_BYTES, len(salted)) // len(salted) + 1
    key = hashlib.sha256((salted * times)[: max(_COUNTED_BYTES, len(salted))]).digest()
    checked = numbers + hashlib.sha1(numbers, usedforsecurity=False).digest()
    protection = bytes([_HASHED, _AES256, _ITERATED, _SHA256, *salt, _COUNT])
    return body[:end] + protection + start + _in_feedback(checked, key, start)


def _in_feedback(plain: bytes, key: bytes, block: bytes) -> bytes:
    """Encrypt in the cipher feedback mode."""
    one_block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - CFB is made of it.
    sealed = bytearray()
    for at in range(0, len(plain), _BLOCK):
        pairs = zip(plain[at : at + _BLOCK], one_block.update(block), strict=False)
        block = bytes(a ^ b for a, b in pairs)
        sealed += block
    return bytes(sealed)


def _packed(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body
