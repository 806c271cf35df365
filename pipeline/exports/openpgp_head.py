"""Reads the open part of an OpenPGP message: for whom it is sealed, and how it is protected.

That part stands before the encrypted data. The message's integrity check does not cover it, so what
it says is compared with our key: a changed recipient is refused although the message would still
open.

Source: RFC 9580 sections 4.2 (packet headers), 5.1 (PKESK), 5.3 (SKESK), 5.13 (SEIPD), 6 (armor).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

ARMOR_LINE: Final = b"-----BEGIN PGP MESSAGE-----"

_PKESK, _SIGNATURE, _SKESK, _ONE_PASS, _COMPRESSED, _SED, _MARKER, _LITERAL = (
    1,
    2,
    3,
    4,
    8,
    9,
    10,
    11,
)
_SEIPD, _AEAD, _PADDING = 18, 20, 21
_VERSIONS: Final = {
    _PKESK: (3, 6),
    _SIGNATURE: (3, 4, 5, 6),
    _SKESK: (4, 5, 6),
    _ONE_PASS: (3, 6),
    _COMPRESSED: (0, 1, 2, 3),
    _MARKER: tuple(b"P"),
    _LITERAL: tuple(b"btum"),
    _SEIPD: (1, 2),
    _AEAD: (1,),
}
"""The first body byte that each packet may start with; tells a message from text by chance."""

_ECDH, _X25519 = 18, 25
_INTEGERS: Final = {1: 1, 2: 1, 16: 2, _ECDH: 1}
"""How many long integers RSA, Elgamal and ECDH seal a session key in."""
_X448_POINT_BYTES: Final = (56, 57)
"""Written as opaque bytes, which may begin with zeros."""
_CURVE25519_POINT_BITS: Final = 263
_SHARE_BYTES: Final = 32
_TOP_BIT: Final = 0x80
_KEY_VERSIONS: Final = ((21, 4), (33, 6))
"""Length and version of the fingerprint in a version 6 packet (RFC 9580, 5.1.2)."""


class OpenPGPHead(NamedTuple):
    """What an OpenPGP message says openly.

    Attributes:
        recipients: Key ids (16 hex digits) or fingerprints (40 or 64), "" for a hidden recipient.
        password: Whether a password opens it as well.
        container: "seipd1", "seipd2", "aead", "sed", "clear" for a message that is not encrypted,
            or None where the first bytes do not reach it or make no sense.
        canonical: False where a recipient's packet is written in a way that no program writes.
    """

    recipients: tuple[str, ...] = ()
    password: bool = False
    container: str | None = None
    canonical: bool = True


def read_head(first: bytes) -> OpenPGPHead:
    """Walk the packets of a message up to its encrypted data.

    Args:
        first: The first bytes of the message, binary or armored; a megabyte is plenty.
    """
    octets = dearmored(first) if first.lstrip().startswith(b"-----BEGIN PGP") else first
    recipients: list[str] = []
    password, canonical, at = False, True, 0
    while (packet := packet_at(octets, at)) is not None:
        tag, start, end = packet
        if tag == _PKESK:
            recipients.append(_recipient(octets[start:end]))
            canonical = canonical and _canonical(octets[start:end])
        elif tag == _SKESK:
            password = True
        elif tag not in {_MARKER, _PADDING}:
            container = _container(tag, octets[start : start + 1])
            return OpenPGPHead(tuple(recipients), password, container, canonical)
        if end is None:
            break
        at = end
    return OpenPGPHead(tuple(recipients), password, None, canonical)


def looks_like_message(first: bytes) -> bool:
    """Tell whether bytes start with an OpenPGP packet that can open a message."""
    packet = packet_at(first, 0)
    if packet is None:
        return False
    tag, start, _ = packet
    if tag == _SED:
        return True
    return first[start : start + 1] != b"" and first[start] in _VERSIONS.get(tag, ())


def dearmored(text: bytes) -> bytes:
    """Give the bytes inside an armor, as far as whole lines of it are there."""
    lines = iter(text.lstrip().splitlines())
    for line in lines:
        if not line.strip():
            break
    body = bytearray()
    for line in lines:
        stripped = line.strip()
        if stripped.startswith((b"=", b"-")):
            break
        try:
            body += base64.b64decode(stripped, validate=True)
        except binascii.Error:
            break
    return bytes(body)


def packet_at(octets: bytes, at: int) -> tuple[int, int, int | None] | None:
    """Give a packet's tag, the start of its body and its end (None where only the data says)."""
    head = octets[at : at + 6]
    if len(head) < 2 or not head[0] & 0x80:  # noqa: PLR2004 - a header has two bytes at least.
        return None
    if head[0] & 0x40:
        return _new_format(head, at)
    tag, width = (head[0] >> 2) & 0x0F, (1, 2, 4, 0)[head[0] & 3]
    start = at + 1 + width
    return tag, start, start + int.from_bytes(head[1 : 1 + width], "big") if width else None


def _new_format(head: bytes, at: int) -> tuple[int, int, int | None]:
    tag, first = head[0] & 0x3F, head[1]
    if first < 192:  # noqa: PLR2004 - RFC 9580, 4.2.1.1: one-octet lengths.
        return tag, at + 2, at + 2 + first
    if first < 224:  # noqa: PLR2004 - 4.2.1.2: two-octet lengths.
        return tag, at + 3, at + 3 + ((first - 192) << 8) + int.from_bytes(head[2:3], "big") + 192
    if first == 255:  # noqa: PLR2004 - 4.2.1.3: five-octet lengths.
        return tag, at + 6, at + 6 + int.from_bytes(head[2:6], "big")
    return tag, at + 2, None


def _recipient(body: bytes) -> str:
    if body[:1] == b"\x03":
        key_id = body[1:9]
        return key_id.hex() if any(key_id) else ""
    return body[3 : 2 + body[1]].hex() if len(body) > 1 and body[1] else ""


def _canonical(body: bytes) -> bool:
    """Tell whether a recipient's packet is written as programs write it.

    Three things could change without notice: the version of the recipient's key in a version 6
    packet, the one bit of an X25519 share that the algorithm ignores (RFC 7748, section 5), and the
    number of bits that an integer says it has, of which gpg reads no more than how many bytes follow.
    """
    at = 9
    if body[:1] == b"\x06":
        if tuple(body[1:3]) not in _KEY_VERSIONS and body[1:2] != b"\x00":
            return False
        at = 2 + body[1]
    share = _share(body[at:])
    ignored = len(share) == _SHARE_BYTES and share[-1] & _TOP_BIT
    return not ignored and _integers_are_exact(body[at:])


def _integers_are_exact(sealed_key: bytes) -> bool:
    """Tell whether every integer begins with the bit that its length names (RFC 9580, 3.2)."""
    at = 1
    for _ in range(_INTEGERS.get(sealed_key[0], 0) if sealed_key else 0):
        bits = int.from_bytes(sealed_key[at : at + 2], "big")
        size = (bits + 7) // 8
        opaque = sealed_key[0] == _ECDH and size in _X448_POINT_BYTES
        integer = int.from_bytes(sealed_key[at + 2 : at + 2 + size], "big")
        if integer.bit_length() != bits and not opaque:
            return False
        at += 2 + size
    return True


def _share(sealed_key: bytes) -> bytes:
    """Give the sender's X25519 share; none for other algorithms."""
    if sealed_key[:1] == bytes([_X25519]):
        return sealed_key[1:33]
    if sealed_key[:3] == bytes([_ECDH]) + _CURVE25519_POINT_BITS.to_bytes(2, "big"):
        return sealed_key[4:36]
    return b""


def _container(tag: int, version: bytes) -> str | None:
    if tag == _SEIPD:
        return {b"\x01": "seipd1", b"\x02": "seipd2"}.get(version)
    if tag in {_SIGNATURE, _ONE_PASS, _COMPRESSED, _LITERAL}:
        return "clear"
    return {_SED: "sed", _AEAD: "aead"}.get(tag)
