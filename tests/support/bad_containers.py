"""Named sealed exports that must not be opened, or only just may: their bytes and the verdict.

Every one of them holds good cards, so anything that were sent of it would be a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import zlib
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pysequoia
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.exports.verdict import Verdict
from tests.support.bad_files import good
from tests.support.exports import (
    PASSPHRASE,
    by_age,
    by_gpg,
    by_passphrase,
    by_pyrage,
    by_sequoia,
    keyring,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PASSPHRASE_OPTION = 'export.passphrase={env="THE_PASSPHRASE"}'
CHUNK = 65_536 + 16
PLAIN = good().encode()
LONG = good(4_000).encode()
"""More than three age chunks."""
MEDIUM = good(200).encode()
"""Longer than one partial length."""


@dataclass(frozen=True)
class BadContainer:
    """A sealed export: its bytes, the key it is opened with, and its verdict."""

    name: str
    verdict: Verdict | None
    """Why it is refused; None where only the refusal is certain, not its words."""
    seal: Callable[[], bytes]
    key: str | None = "cv25519"
    signers: Sequence[str] = ()
    passphrase: str | None = None
    accepted: bool = False


def signed_by(*names: str) -> str:
    """Give the override that asks for a signature by one of these."""
    paths = ", ".join(f'"{keyring().public(name)}"' for name in names)
    return f"export.signers=[{paths}]"


# OpenPGP, packet by packet (RFC 9580, section 4).


def packet(tag: int, body: bytes) -> bytes:
    """Give a packet with a five-octet length."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def literal(plain: bytes, name: bytes = b"") -> bytes:
    """Give a literal packet."""
    return packet(11, b"b" + bytes([len(name)]) + name + bytes(4) + plain)


def deflated(inner: bytes) -> bytes:
    """Give a compressed packet (ZIP)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packet(8, b"\x01" + packer.compress(inner) + packer.flush())


def sealing(packets: bytes) -> bytes:
    """Encrypt packets as they are to the usual key."""
    options = ("-z", "0", "--no-literal", "--recipient", "cv25519@example.org", "--encrypt")
    return keyring().gpg(*options, stdin=packets)


def _nested(levels: int) -> bytes:
    inner = literal(PLAIN)
    for _ in range(levels):
        inner = deflated(inner)
    return sealing(inner)


@cache
def _gpg() -> bytes:
    return by_gpg(PLAIN)


def _first_packet_end(sealed: bytes) -> int:
    """Give where the first packet (the recipient's) ends; gpg writes it in the old format."""
    width = (1, 2, 4)[sealed[0] & 3]
    return 1 + width + int.from_bytes(sealed[1 : 1 + width], "big")


def _without_recipient() -> bytes:
    return _gpg()[_first_packet_end(_gpg()) :]


def _retagged(tag: int) -> bytes:
    sealed, at = bytearray(_gpg()), _first_packet_end(_gpg())
    sealed[at] = 0xC0 | tag
    return bytes(sealed)


def _version(version: int) -> bytes:
    sealed, at = bytearray(_gpg()), _first_packet_end(_gpg())
    sealed[at + 2 + (sealed[at + 1] >= 192)] = version
    return bytes(sealed)


def _armored(change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return b"\n".join(change(by_gpg(MEDIUM, armored=True).split(b"\n")))


def _other_sign(lines: list[bytes]) -> list[bytes]:
    lines[5] = (b"A" if lines[5][:1] != b"A" else b"B") + lines[5][1:]
    return lines


def _flipped(sealed: bytes, at: int) -> bytes:
    changed = bytearray(sealed)
    changed[at] ^= 1
    return bytes(changed)


def _locked() -> bytes:
    keyring().secret("locked")  # Made when it is first asked for.
    return by_gpg(PLAIN, "locked")


def _symmetric() -> bytes:
    return keyring().gpg("--symmetric", stdin=PLAIN)


def _unprotected() -> bytes:
    return by_gpg(PLAIN, extra=["--rfc2440", "--disable-mdc", "--cipher-algo", "AES"])


def _cleartext(command: str) -> bytes:
    return keyring().gpg("--local-user", "signer@example.org", command, stdin=PLAIN)


OPENPGP = [
    BadContainer("a flipped bit at the end", Verdict.DAMAGED, lambda: _flipped(_gpg(), -1)),
    BadContainer("a flipped bit in the middle", None, lambda: _flipped(_gpg(), len(_gpg()) // 2)),
    BadContainer("cut at half", None, lambda: _gpg()[: len(_gpg()) // 2]),
    BadContainer("its last byte missing", None, lambda: _gpg()[:-1]),
    BadContainer("its integrity check missing", None, lambda: _gpg()[:-22]),
    BadContainer("the recipient alone", None, lambda: _gpg()[: _first_packet_end(_gpg())]),
    BadContainer("no recipient", None, _without_recipient),
    BadContainer("one byte", None, lambda: _gpg()[:1]),
    BadContainer("no bytes", Verdict.EMPTY, bytes),
    BadContainer("no integrity protection", Verdict.NO_INTEGRITY, _unprotected),
    BadContainer("its integrity protection taken off", Verdict.NO_INTEGRITY, lambda: _retagged(9)),
    BadContainer("an unknown version of protection", None, lambda: _version(9)),
    BadContainer("an unknown packet for protection", None, lambda: _retagged(60)),
    BadContainer("sealed to somebody else", Verdict.WRONG_KEY, lambda: by_gpg(PLAIN, "rsa")),
    BadContainer("sealed by a password", Verdict.PASSWORD_ONLY, _symmetric),
    BadContainer("signed but not sealed", Verdict.NOT_ENCRYPTED, lambda: _cleartext("--sign")),
    BadContainer("signed in clear text", Verdict.NOT_ENCRYPTED, lambda: _cleartext("--clearsign")),
    BadContainer("a signature alone", Verdict.NOT_ENCRYPTED, lambda: _cleartext("--detach-sign")),
    BadContainer("a public key", Verdict.NOT_ENCRYPTED, lambda: keyring().public("rsa").read_bytes()),
    BadContainer("packets without any seal", Verdict.NOT_ENCRYPTED, lambda: literal(PLAIN)),
    BadContainer("unsigned where a signature is asked for", Verdict.UNSIGNED, _gpg, signers=["signer"]),
    BadContainer("signed by a stranger", Verdict.SIGNER_UNKNOWN, lambda: by_gpg(PLAIN, signer="stranger"), signers=["signer"]),
    BadContainer("signed with SHA-1", Verdict.SIGNATURE_BAD, lambda: by_gpg(PLAIN, "rsa", signer="rsa", extra=["--digest-algo", "SHA1"]), "rsa", ["rsa"]),
    BadContainer("sealed by Sequoia, unsigned", Verdict.UNSIGNED, lambda: by_sequoia(PLAIN), signers=["signer"]),
    BadContainer("two messages", None, lambda: _gpg() * 2),
    BadContainer("followed by junk", None, lambda: _gpg() + b"junk"),
    BadContainer("followed by a megabyte of zeros", None, lambda: _gpg() + bytes(2**20)),
    BadContainer("two texts in one seal", None, lambda: sealing(literal(PLAIN) * 2)),
    BadContainer("nothing in the seal", None, lambda: sealing(b"")),
    BadContainer("text in the seal that is no packet", None, lambda: sealing(PLAIN)),
    BadContainer("junk after the text in the seal", None, lambda: sealing(literal(PLAIN) + b"junk")),
    BadContainer("a seal in a seal", None, lambda: sealing(_gpg())),
    BadContainer("compression by an unknown method", None, lambda: sealing(packet(8, b"\x63" + zlib.compress(PLAIN)))),
    BadContainer("compression cut short", None, lambda: sealing(deflated(literal(PLAIN))[:-40])),
    BadContainer("compression 40 deep", None, lambda: _nested(40)),
    BadContainer("armor without its end", None, lambda: _armored(lambda lines: lines[:-8])),
    BadContainer("armor with a changed sign", None, lambda: _armored(_other_sign)),
    BadContainer("armor with a line missing", None, lambda: _armored(lambda lines: lines[:9] + lines[10:])),
    BadContainer("armor with a line twice", None, lambda: _armored(lambda lines: lines[:9] + lines[8:])),
    BadContainer("armor of another kind", Verdict.NOT_ENCRYPTED, lambda: by_gpg(PLAIN, armored=True).replace(b"PGP MESSAGE", b"PGP SIGNATURE")),
    BadContainer("no key for it", Verdict.NO_KEY, _gpg, key=None),
    BadContainer("an age key for it", Verdict.KEY_OF_OTHER_KIND, _gpg, key="age"),
    BadContainer("a key that is locked", Verdict.PASSPHRASE_NEEDED, _locked, "locked"),
    BadContainer("a wrong passphrase", Verdict.WRONG_PASSPHRASE, _locked, "locked", passphrase="not this one"),
    BadContainer("plain text under its name", Verdict.NOT_SEALED, lambda: PLAIN),
    BadContainer("sealed by Sequoia", None, lambda: by_sequoia(PLAIN), accepted=True),
    BadContainer("a marker packet first", None, lambda: packet(10, b"PGP") + _gpg(), accepted=True),
    BadContainer("a text of another name", None, lambda: sealing(literal(PLAIN, b"../../x")), accepted=True),
    BadContainer("compression 5 deep", None, lambda: _nested(5), accepted=True),
    BadContainer("partial lengths", None, lambda: by_gpg(MEDIUM), accepted=True),
    BadContainer("armor without a checksum", None, lambda: _armored(lambda lines: [line for line in lines if not line.startswith(b"=")]), accepted=True),
]  # fmt: skip


# age, part by part (C2SP age.md).


def _unpadded(octets: bytes) -> bytes:
    return base64.b64encode(octets).rstrip(b"=")


@cache
def _age(plain: bytes = LONG) -> bytes:
    return by_pyrage(plain)


def _payload_start(sealed: bytes) -> int:
    """Give where the chunks begin: after the header's MAC line and a nonce of 16 bytes."""
    return sealed.index(b"\n", sealed.index(b"\n---") + 1) + 1 + 16


def _chunks(change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    sealed = _age()
    start = _payload_start(sealed)
    chunks = [sealed[at : at + CHUNK] for at in range(start, len(sealed), CHUNK)]
    return sealed[:start] + b"".join(change(chunks))


def _swapped(chunks: list[bytes]) -> list[bytes]:
    return [chunks[1], chunks[0], *chunks[2:]]


def _header(change: Callable[[bytes], bytes]) -> bytes:
    sealed = _age()
    end = sealed.index(b"\n---")
    return change(sealed[:end]) + sealed[end:]


def _own_age(chunks: Sequence[bytes], *, last: bool = True, extra: bytes = b"") -> bytes:
    """Seal by hand with a passphrase, so that chunks and header can be made wrong on purpose."""
    salt, file_key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    full_salt = b"age-encryption.org/v1/scrypt" + salt
    wrapping = hashlib.scrypt(PASSPHRASE.encode(), salt=full_salt, n=2**10, r=8, p=1, dklen=32)
    body = _unpadded(ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None))
    header = b"age-encryption.org/v1\n-> scrypt %s 10\n%s\n" % (_unpadded(salt), body)
    header += extra + b"---"
    mac = hmac.digest(HKDF(SHA256(), 32, b"", b"header").derive(file_key), header, "sha256")
    cipher = ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(file_key))
    sealed = [
        cipher.encrypt(
            count.to_bytes(11, "big") + bytes([last and count == len(chunks) - 1]), chunk, None
        )
        for count, chunk in enumerate(chunks)
    ]
    return header + b" " + _unpadded(mac) + b"\n" + nonce + b"".join(sealed)


_STANZA = b"-> X25519 %s\n%s\n" % (_unpadded(bytes(32)), _unpadded(bytes(32)))
_PLUGIN = b"age-encryption.org/v1\n-> yubikey abc def\n%s\n--- %s\n" % (
    _unpadded(bytes(32)),
    _unpadded(bytes(32)),
)

AGE = [
    BadContainer("a flipped bit in the header's check", None, lambda: _flipped(_age(), _age().index(b"\n---") + 8), "age"),
    BadContainer("a flipped bit in the recipient", None, lambda: _flipped(_age(), 40), "age"),
    BadContainer("a flipped bit in the first chunk", None, lambda: _flipped(_age(), _payload_start(_age()) + 5), "age"),
    BadContainer("a flipped bit in the last chunk", None, lambda: _flipped(_age(), -5), "age"),
    BadContainer("two chunks swapped", None, lambda: _chunks(_swapped), "age"),
    BadContainer("a chunk missing", None, lambda: _chunks(lambda chunks: chunks[:1] + chunks[2:]), "age"),
    BadContainer("the last chunk missing", None, lambda: _chunks(lambda chunks: chunks[:-1]), "age"),
    BadContainer("a chunk twice", None, lambda: _chunks(lambda chunks: chunks[:1] + chunks), "age"),
    BadContainer("no chunks", None, lambda: _chunks(lambda chunks: []), "age"),
    BadContainer("an empty last chunk", None, lambda: _own_age([PLAIN.ljust(65_536), b""]), None, passphrase=PASSPHRASE),
    BadContainer("no last chunk", None, lambda: _own_age([PLAIN], last=False), None, passphrase=PASSPHRASE),
    BadContainer("a passphrase beside a recipient", None, lambda: _own_age([PLAIN], extra=_STANZA), None, passphrase=PASSPHRASE),
    BadContainer("its header alone", None, lambda: _age()[: _age().index(b"\n---")], "age"),
    BadContainer("its first line alone", None, lambda: b"age-encryption.org/v1\n", "age"),
    BadContainer("another version", None, lambda: _age().replace(b"/v1", b"/v9", 1), "age"),
    BadContainer("a stanza of junk", None, lambda: _header(lambda head: head + b"\n-> junk"), "age"),
    BadContainer("a header of a megabyte", None, lambda: _header(lambda head: head + b"\n-> x" + b" y" * 2**19), "age"),
    BadContainer("a plugin's recipient", None, lambda: _PLUGIN + bytes(16) + bytes(100), "age"),
    BadContainer("sealed to somebody else", Verdict.WRONG_KEY, _age, "age_stranger"),
    BadContainer("an OpenPGP key for it", Verdict.KEY_OF_OTHER_KIND, _age, "rsa"),
    BadContainer("no key for it", Verdict.NO_KEY, _age, None),
    BadContainer("signers asked for", Verdict.SIGNATURE_IMPOSSIBLE, _age, "age", ["signer"]),
    BadContainer("followed by junk", None, lambda: _age() + b"junk", "age"),
    BadContainer("two files", None, lambda: _age() * 2, "age"),
    BadContainer("a passphrase that takes too long", Verdict.WORK_FACTOR, lambda: by_passphrase(PLAIN, work_factor=30), None, passphrase=PASSPHRASE),
    BadContainer("a wrong passphrase", Verdict.WRONG_PASSPHRASE, lambda: by_passphrase(PLAIN), None, passphrase="not this one"),
    BadContainer("armor cut short", None, lambda: by_age(LONG, armored=True)[:-200], "age"),
    BadContainer("armor with a line missing", None, lambda: _line_less(by_age(LONG, armored=True)), "age"),
    BadContainer("followed by junk after the armor", None, lambda: by_age(LONG, armored=True) + b"junk\n", "age"),
    BadContainer("in armor", None, lambda: by_age(MEDIUM, armored=True), "age", accepted=True),
    BadContainer("by passphrase", None, lambda: _own_age([PLAIN]), None, passphrase=PASSPHRASE, accepted=True),
]  # fmt: skip


def _line_less(armored: bytes) -> bytes:
    lines = armored.split(b"\n")
    return b"\n".join(lines[:6] + lines[7:])


def v6_key() -> tuple[bytes, bytes]:
    """Make a key of RFC 9580 and seal the good export to it (AEAD): the key and the export."""
    key = pysequoia.Tsk.generate(user_id="v6 <v6@example.org>", profile=pysequoia.Profile.RFC9580)
    sealed = pysequoia.encrypt(PLAIN, [key.extract_certificate()], armor=False)
    return str(key).encode(), bytes(sealed)


def damages(sealed: bytes, flips: int, cuts: int, seed: int) -> list[tuple[str, bytes]]:
    """Give copies damaged at unlike places, half in the first 400 bytes, where the open parts are."""
    random = Random(seed)

    def places(count: int) -> list[int]:
        early = random.sample(range(min(400, len(sealed))), count // 2)
        others = sorted({*range(len(sealed))}.difference(early))
        return early + random.sample(others, count - len(early))

    changed = []
    for at in places(flips):
        octets = bytearray(sealed)
        octets[at] ^= 1 << random.randrange(8)
        changed.append((f"bit at {at}", bytes(octets)))
    return changed + [(f"cut at {at}", sealed[:at]) for at in places(cuts)]
