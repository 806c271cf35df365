"""Decrypts age files that are sealed by a passphrase, 64 KiB at a time.

pyrage opens such files only as a whole in memory, which an export may not fit into, so the two
simple layers of the format are read here: the header (scrypt, HMAC) and the payload (STREAM with
ChaCha20-Poly1305). Every chunk is authentic before it is written and the last one says that it
is the last; the primitives are those of `cryptography` and the standard library.

Source: C2SP age specification, https://c2sp.org/age, "scrypt recipient stanza" and "Payload".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import re
from typing import IO, TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.exports.container import AGE_ARMOR_LINE, AGE_MAGIC
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK_FACTOR_MAX: Final = 22
"""The most that age itself accepts: 2^22 rounds take 4 GiB of memory for some seconds."""

_CHUNK_BYTES: Final = 65_536
_SEALED_CHUNK_BYTES: Final = _CHUNK_BYTES + 16
_NONCE_BYTES: Final = 16
_BUFFER_BYTES: Final = 2**20
_LINE_BYTES_MAX: Final = 128
_STANZA: Final = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n")
_BODY: Final = re.compile(rb"([A-Za-z0-9+/]{43})\n")
_MAC: Final = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


def decrypt(sealed: IO[bytes], plain: IO[bytes], passphrase: str | None) -> None:
    """Decrypt an age file that is sealed by passphrase.

    Args:
        sealed: The file from its first byte, binary or armored.
        plain: Takes authentic bytes only, but not all of them where the file is cut.
        passphrase: As the sender typed it.

    Raises:
        Refused: `PASSPHRASE_NEEDED`, `WRONG_PASSPHRASE`, `WORK_FACTOR`, `TRUNCATED`, `DAMAGED`.
    """
    if passphrase is None:
        raise Refused(Verdict.PASSPHRASE_NEEDED)
    source = io.BufferedReader(_Dearmored(sealed), _BUFFER_BYTES)
    file_key = _file_key(source, passphrase.encode())
    nonce = source.read(_NONCE_BYTES)
    if len(nonce) != _NONCE_BYTES:
        raise Refused(Verdict.TRUNCATED)
    _payload(source, plain, ChaCha20Poly1305(_derived(file_key, nonce, b"payload")))


def _file_key(source: IO[bytes], passphrase: bytes) -> bytes:
    """Read the header and unwrap the key that the file is encrypted with."""
    lines = [source.readline(_LINE_BYTES_MAX) for _ in range(4)]
    if not lines[3].endswith(b"\n"):
        raise Refused(Verdict.TRUNCATED)
    stanza, body, mac = (
        pattern.fullmatch(line)
        for pattern, line in zip((_STANZA, _BODY, _MAC), lines[1:], strict=True)
    )
    if lines[0] != AGE_MAGIC or stanza is None or body is None or mac is None:
        raise Refused(Verdict.DAMAGED)
    work_factor = int(stanza[2])
    if work_factor > WORK_FACTOR_MAX:
        raise Refused(Verdict.WORK_FACTOR)
    salt = b"age-encryption.org/v1/scrypt" + _bytes(stanza[1])
    rounds = 2**work_factor
    wrapping = hashlib.scrypt(
        passphrase, salt=salt, n=rounds, r=8, p=1, maxmem=128 * 8 * (rounds + 64), dklen=32
    )
    try:
        file_key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), _bytes(body[1]), None)
    except InvalidTag:
        raise Refused(Verdict.WRONG_PASSPHRASE) from None
    covered = b"".join(lines[:3]) + b"---"
    expected = hmac.digest(_derived(file_key, b"", b"header"), covered, "sha256")
    if not hmac.compare_digest(expected, _bytes(mac[1])):
        raise Refused(Verdict.DAMAGED)
    return file_key


def _payload(source: IO[bytes], plain: IO[bytes], cipher: ChaCha20Poly1305) -> None:
    chunk = source.read(_SEALED_CHUNK_BYTES)
    for count, following in enumerate(_after(source, chunk)):
        last = not following
        try:
            opened = cipher.decrypt(count.to_bytes(11, "big") + bytes([last]), chunk, None)
        except InvalidTag:
            raise Refused(Verdict.DAMAGED) from None
        if last and not opened and count:
            raise Refused(Verdict.DAMAGED)
        plain.write(opened)
        chunk = following


def _after(source: IO[bytes], chunk: bytes) -> Iterator[bytes]:
    """Give the chunk after each one, so that the last is known before it is opened."""
    while chunk:
        chunk = source.read(_SEALED_CHUNK_BYTES)
        yield chunk


def _derived(file_key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(file_key)


def _bytes(text: bytes) -> bytes:
    """Read unpadded base64 and refuse a second spelling of the same bytes."""
    octets = base64.b64decode(text + b"=" * (-len(text) % 4))
    if base64.b64encode(octets).rstrip(b"=") != text:
        raise Refused(Verdict.DAMAGED)
    return octets


class _Dearmored(io.RawIOBase):
    """A reader that takes an armor off, where there is one."""

    def __init__(self, sealed: IO[bytes]) -> None:
        self._sealed = sealed
        self._left = b""
        first = sealed.readline(_LINE_BYTES_MAX)
        while first and not first.strip():
            first = sealed.readline(_LINE_BYTES_MAX)
        self._armored = first.strip() == AGE_ARMOR_LINE
        if not self._armored:
            self._left = first

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # The stub has no name for a buffer.
        if not self._left:
            self._left = self._more(len(view))
        taken = self._left[: len(view)]
        self._left = self._left[len(taken) :]
        view[: len(taken)] = taken
        return len(taken)

    def _more(self, size: int) -> bytes:
        if not self._armored:
            return self._sealed.read(size)
        line = self._sealed.readline(_LINE_BYTES_MAX).strip()
        if line.startswith(b"-----END AGE ENCRYPTED FILE"):
            if self._sealed.read(1).strip():
                raise Refused(Verdict.DAMAGED)
            return b""
        try:
            return base64.b64decode(line, validate=True)
        except binascii.Error:
            raise Refused(Verdict.DAMAGED) from None
