"""Judges a decryption by gpg's status lines; pure, so that every way to cheat it can be tried.

Source: GnuPG's doc/DETAILS, "Format of the --status-fd output"; checked with gpg 2.2.40.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.exports.decryptor.protocol import Answer
from pipeline.exports.verdict import Refused, Verdict

_PREFIX: Final = "[GNUPG:] "
_BAD_PASSPHRASE: Final = 11
"""GPG_ERR_BAD_PASSPHRASE; a code's upper half names the library that raised it."""

_PINENTRY: Final = 5
"""The library of an error that came from whoever asks for passphrases."""

_LOCKED: Final = frozenset({62, 85, 86, 99, 114, 198})
"""Timeout, no pinentry, its error, cancelled, not confirmed, cancelled for all."""

_NO_CARD: Final = frozenset({108, 109, 110, 111, 112})
"""Card error, to be reset, removed, invalid, not present."""

_NO_AGENT: Final = frozenset({77, 78})

_WEAK_HASHES: Final = frozenset({"1", "2", "3"})
"""MD5, SHA-1 and RIPEMD-160 (RFC 9580, section 9.5)."""

_BROKEN_SIGNATURES: Final = ("BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG")
_VALIDSIG_HASH, _VALIDSIG_PRIMARY = 7, 9
_KEY_ID_HEX: Final = 16


class GpgStatus(NamedTuple):
    """What gpg said.

    Attributes:
        lines: Each line's words, keyword first.
    """

    lines: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, raw: bytes) -> GpgStatus:
        """Read the status descriptor's bytes; lines without gpg's prefix do not count."""
        texts = raw.decode("utf-8", "replace").split("\n")
        return cls(
            tuple(
                tuple(text.removeprefix(_PREFIX).split())
                for text in texts
                if text.startswith(_PREFIX) and text.removeprefix(_PREFIX).split()
            )
        )

    def all(self, keyword: str) -> list[tuple[str, ...]]:
        """Give the words after the keyword, for every line that has it."""
        return [words for name, *rest in self.lines if name == keyword for words in [tuple(rest)]]

    def has(self, *keywords: str) -> bool:
        """Tell whether one of the keywords was said."""
        return any(name in keywords for name, *_ in self.lines)


def verdict_of(
    status: GpgStatus,
    code: int,
    *,
    allowed: frozenset[str],
    wanted: str | None = None,
    by_password: bool = False,
) -> Answer:
    """Decide whether a decryption by gpg may be believed.

    Args:
        status: Everything that gpg said.
        code: Its exit code.
        allowed: Primary fingerprints that may have signed; empty where no signature is asked for.
        wanted: The key that is meant to open it, where several could.
        by_password: Whether the message's own password was to open it, and no key.

    Raises:
        Refused: With why not.
    """
    _refuse_unopened(status, by_password=by_password)
    proved = (
        len(status.all("BEGIN_DECRYPTION")) == 1
        and len(status.all("PLAINTEXT")) == 1
        and len(status.all("DECRYPTION_OKAY")) == 1
        and status.has("GOODMDC")
        and not status.has("BADMDC", "DECRYPTION_FAILED", "UNEXPECTED", "NODATA")
    )
    if not proved:
        raise Refused(Verdict.DAMAGED)
    signer = _signer(status, allowed) if allowed else None
    # Without a wish for a signature, one that gpg cannot check is the only excuse for code 2.
    if code != 0 and (allowed or not status.has("NO_PUBKEY")):
        raise Refused(Verdict.DAMAGED)
    return Answer(Verdict.OK, None if by_password else _key(status, wanted), signer)


def _refuse_unopened(status: GpgStatus, *, by_password: bool) -> None:
    """Name the reason where no plaintext could come at all."""
    opened = status.has("DECRYPTION_KEY") or (by_password and status.has("DECRYPTION_OKAY"))
    if not opened and by_password and status.has("DECRYPTION_FAILED"):
        raise Refused(Verdict.WRONG_PASSPHRASE)
    if not opened and status.has("NEED_PASSPHRASE_SYM"):
        raise Refused(Verdict.PASSWORD_ONLY)
    _refuse_unopened_key(status, opened=opened)
    if not status.lines:
        raise Refused(Verdict.GPG_FAILED)
    if not status.has("GOODMDC") and any(
        words[:1] == ("0",) and words[2:3] in {(), ("0",)}
        for words in status.all("DECRYPTION_INFO")
    ):
        raise Refused(Verdict.NO_INTEGRITY)


def _refuse_unopened_key(status: GpgStatus, *, opened: bool) -> None:
    """Name the reason that lies with the key or its passphrase."""
    errors = [int(words[1]) for words in status.all("ERROR") if words[1:2] and words[1].isdigit()]
    codes = {error & 0xFFFF for error in errors}
    if _BAD_PASSPHRASE in codes or status.has("BAD_PASSPHRASE"):
        raise Refused(Verdict.WRONG_PASSPHRASE)
    asked_in_vain = any(error >> 24 & 0x7F == _PINENTRY for error in errors)
    for verdict, applies in (
        (Verdict.KEY_LOCKED, asked_in_vain or _LOCKED & codes),
        (Verdict.CARD_MISSING, _NO_CARD & codes),
        (Verdict.GPG_FAILED, _NO_AGENT & codes),
    ):
        if applies and not opened:
            raise Refused(verdict)
    if status.has("MISSING_PASSPHRASE") or (
        status.has("NEED_PASSPHRASE") and not status.has("DECRYPTION_KEY")
    ):
        raise Refused(Verdict.PASSPHRASE_NEEDED)
    if status.has("NO_SECKEY") and not status.has("DECRYPTION_KEY"):
        raise Refused(Verdict.WRONG_KEY)


def _key(status: GpgStatus, wanted: str | None) -> str:
    """Give the primary fingerprint of the key that opened it."""
    used = [words[:2] for words in status.all("DECRYPTION_KEY") if words[1:]]
    if len(used) != 1:
        raise Refused(Verdict.DAMAGED)
    own, primary = used[0]
    if wanted is not None:
        name = wanted.replace(" ", "").upper().removeprefix("0X")
        if len(name) < _KEY_ID_HEX or not (own.endswith(name) or primary.endswith(name)):
            raise Refused(Verdict.WRONG_KEY)
    return primary.lower()


def _signer(status: GpgStatus, allowed: frozenset[str]) -> str:
    """Give the primary fingerprint of an allowed, valid signature."""
    if status.has(*_BROKEN_SIGNATURES):
        raise Refused(Verdict.SIGNATURE_BAD)
    valid = [words for words in status.all("VALIDSIG") if len(words) > _VALIDSIG_PRIMARY]
    known = [words for words in valid if words[_VALIDSIG_PRIMARY] in allowed]
    if not known:
        signed = valid or status.has("NEWSIG", "ERRSIG")
        raise Refused(Verdict.SIGNER_UNKNOWN if signed else Verdict.UNSIGNED)
    if status.has("ERRSIG"):
        raise Refused(Verdict.SIGNER_UNKNOWN)
    if any(words[_VALIDSIG_HASH] in _WEAK_HASHES for words in known) or not status.has("GOODSIG"):
        raise Refused(Verdict.SIGNATURE_BAD)
    return known[0][_VALIDSIG_PRIMARY].lower()
