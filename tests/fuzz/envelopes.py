"""Fuzz targets of the envelope: open heads are walked to an end, and gpg is never believed wrongly."""

from __future__ import annotations

import re

from pipeline.exports.armor import unwrapped
from pipeline.exports.container import is_age, is_age_identity, kind_of, sealed_by_passphrase
from pipeline.exports.decryptor.gpg_status import GpgStatus, verdict_of
from pipeline.exports.openpgp_head import OpenPGPHead, dearmored, looks_like_message, read_head
from pipeline.exports.verdict import Refused

CONTAINERS = {"seipd1", "seipd2", "aead", "sed", "clear", None}
OWN, PRIMARY, SIGNER = "A" * 40, "B" * 40, "C" * 40


def openpgp_head(given: bytes) -> None:
    """Any bytes give a head of known words; armor changes nothing about them."""
    head = read_head(given)

    assert isinstance(head, OpenPGPHead)
    assert head.container in CONTAINERS
    assert all(re.fullmatch(r"[0-9a-f]*", recipient) for recipient in head.recipients)
    assert isinstance(looks_like_message(given), bool)
    assert isinstance(dearmored(given), bytes)


def age_head(given: bytes) -> None:
    """Any bytes are an age file or not; only one can be sealed by a passphrase."""
    assert is_age(given) or not sealed_by_passphrase(given)
    assert is_age_identity(given) or not is_age(given)


def envelope_kind(given: bytes) -> None:
    """A kind or a refusal; a sealed name never makes a plain export, and a name never seals one."""
    kinds = []
    for name in ("cards.csv", "cards.PGP", "cards.age"):
        try:
            kinds.append(kind_of(given, name))
        except Refused as refusal:
            kinds.append(refusal.verdict)

    message = unwrapped(given)
    assert unwrapped(message) == message
    assert "plain" not in kinds[1:]
    assert kinds[0] == "plain" or kinds == [kinds[0]] * 3
    if kinds[0] == "openpgp":
        # What stands before an armor is no part of the message, whatever it looks like.
        head = read_head(message)
        assert head.container not in {"clear", "sed"}
        assert head.canonical


def gpg_status(given: bytes) -> None:
    """An export is believed only when every line that proves it was said, once and unopposed."""
    if not given:
        return
    code, raw = given[0] % 3, given[1:]
    allowed = frozenset({SIGNER} if given[0] & 0x80 else ())
    try:
        answer = verdict_of(GpgStatus.parse(raw), code, allowed=allowed)
    except Refused:
        return
    said = [
        line.split()
        for line in raw.decode("utf-8", "replace").split("\n")
        if line.startswith("[GNUPG:] ")
    ]
    words = [line[1] for line in said if len(line) > 1]
    for keyword in ("DECRYPTION_OKAY", "PLAINTEXT", "BEGIN_DECRYPTION", "DECRYPTION_KEY"):
        assert words.count(keyword) >= 1
    assert "GOODMDC" in words
    assert not {"BADMDC", "DECRYPTION_FAILED", "NODATA"} & {*words}
    assert code == 0 or ("NO_PUBKEY" in words and not allowed)
    if allowed:
        assert answer.signer == SIGNER.lower()
        assert {"GOODSIG", "VALIDSIG"} <= {*words}
        assert not {"BADSIG", "ERRSIG", "REVKEYSIG", "EXPKEYSIG"} & {*words}
    else:
        assert answer.signer is None


def _status(*lines: str) -> bytes:
    return "".join(f"[GNUPG:] {line}\n" for line in lines).encode()


_WHOLE = _status(
    f"DECRYPTION_KEY {OWN} {PRIMARY} -",
    "BEGIN_DECRYPTION",
    "DECRYPTION_INFO 2 9 0",
    "PLAINTEXT 62 1795475117 x",
    "NEWSIG",
    "GOODSIG C signer",
    f"VALIDSIG {SIGNER} 2026-11-23 1795475117 0 4 0 22 10 00 {SIGNER}",
    "DECRYPTION_OKAY",
    "GOODMDC",
    "END_DECRYPTION",
)

HEAD_SEEDS = [
    b"\x84\x5e\x03" + b"k" * 8 + b"\x12" + bytes(83) + b"\xd2\x10\x01" + bytes(15),
    b"\xc1\x20\x06\x15\x04" + b"f" * 20 + b"\x19" + bytes(8) + b"\xd2\xea\x02" + bytes(20),
    b"\xca\x03PGP\xd5\x02xx\xd2\xff\x00\x00\x01\x00\x01",
    b"\xc3\x04\x04\x09\x00\x08\xd2\x10\x01" + bytes(15),
    b"\xa3\x01abc",
    b"\xc9\x10" + bytes(16),
    b"-----BEGIN PGP MESSAGE-----\nVersion: x\n\nhF4DAAAAAAAAAAASAQdA\n=abcd\n-----END",
    b"\xc1\xeb\x06\xef---\n-----BEGIN PGP MESSAGE-----\x06\nVersion: x\n\x00\x10\x00",
]
AGE_SEEDS = [
    b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\nAAAA\n--- AAAA\n",
    b"age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n",
    b"\n-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCA=\n",
    b"# created\nAGE-SECRET-KEY-1\n",
]
KIND_SEEDS = [*HEAD_SEEDS, *AGE_SEEDS, b"id,number\n", b"\xef\xbb\xbf{}", b"\xd2", b""]
STATUS_SEEDS = [
    b"\x80" + _WHOLE,
    b"\x00" + _WHOLE,
    b"\x02" + _WHOLE.replace(b"GOODSIG", b"NO_PUBKEY"),
    b"\x80" + _WHOLE.replace(b"GOODMDC", b"BADMDC"),
    b"\x02" + _status("ENC_TO A 1 0", "NO_SECKEY A", "ERROR pkdecrypt_failed 11"),
]
