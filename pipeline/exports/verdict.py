"""Puts into words how the opening of a sealed export ended: what happened, and what to do next.

The decryptor's own error texts carry stack traces, key ids and at times plain bytes, so only a
code crosses the process border and the words are written here. The child imports this module
too; it stays free of everything but the standard library.
"""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Final


class Verdict(StrEnum):
    """How the opening of an export ended; every member but `OK` refuses it."""

    OK = auto()
    NO_KEY = auto()
    KEY_UNUSABLE = auto()
    KEY_OF_OTHER_KIND = auto()
    SSH_KEY_UNUSABLE = auto()
    WRONG_KEY = auto()
    KEY_LOCKED = auto()
    CARD_MISSING = auto()
    BEYOND_SEQUOIA = auto()
    BEYOND_GPG = auto()
    PASSPHRASE_NEEDED = auto()
    WRONG_PASSPHRASE = auto()
    WORK_FACTOR = auto()
    NOT_ENCRYPTED = auto()
    NOT_SEALED = auto()
    PASSWORD_ONLY = auto()
    NO_INTEGRITY = auto()
    TRAILING = auto()
    TRUNCATED = auto()
    DAMAGED = auto()
    UNSIGNED = auto()
    SIGNER_UNKNOWN = auto()
    SIGNATURE_BAD = auto()
    SIGNATURE_UNJUDGED = auto()
    SIGNATURE_IMPOSSIBLE = auto()
    SIGNERS_UNUSABLE = auto()
    GPG_MISSING = auto()
    GPG_FAILED = auto()
    DECRYPTOR_DIED = auto()
    DECRYPTOR_STALLED = auto()
    EMPTY = auto()
    TOO_LARGE = auto()
    RATIO = auto()
    NOT_ROWS = auto()
    ARCHIVE_OF_MANY = auto()
    ARCHIVE_LOCKED = auto()
    PACKED_CUT = auto()
    PACKED_DAMAGED = auto()
    PACKED_TRAILING = auto()
    PACKED_OTHERWISE = auto()
    PACKED_TOO_OFTEN = auto()
    CHANGED = auto()
    STILL_WRITTEN = auto()


class Refused(Exception):
    """Carries a verdict from where it was found to where it is put into words.

    Args:
        verdict: Why the export is refused; never `Verdict.OK`.
        detail: What was found, in our own words; never bytes of the export.
    """

    def __init__(self, verdict: Verdict, detail: str = "") -> None:
        super().__init__(verdict.value)
        self.verdict = verdict
        self.detail = detail


_AGAIN: Final = "Ask the sender for the export again; nothing of this one was used."
_PACK: Final = "Ask the sender to pack it anew, or to send the file of rows without packing."
_SEAL: Final = "Ask the sender to seal it with gpg, Sequoia or age, or use `cardferry seal`."

WORDS: Final[dict[Verdict, tuple[str, str]]] = {
    Verdict.NO_KEY: (
        "there is no key to open it with",
        "Set `export.key` to the secret key file, or `export.passphrase` for an age passphrase.",
    ),
    Verdict.KEY_UNUSABLE: (
        "the key file holds no secret key that can be read",
        "Point `export.key` at an OpenPGP secret key or an age identity.",
    ),
    Verdict.KEY_OF_OTHER_KIND: (
        "it and the key are of different kinds (OpenPGP and age)",
        "Point `export.key` at the key that this sender was given.",
    ),
    Verdict.SSH_KEY_UNUSABLE: (
        "the SSH key cannot be used: age opens with RSA and Ed25519 keys without a passphrase",
        "Take the passphrase off a copy of the key (ssh-keygen -p), or use an age identity.",
    ),
    Verdict.WRONG_KEY: (
        "it is not sealed to the configured key",
        "Compare the key's fingerprint with the sender's; set `export.key` to that key if we have it.",
    ),
    Verdict.KEY_LOCKED: (
        "its key in gpg is locked, and nobody can be asked for the passphrase here",
        "Unlock it (gpg --decrypt any message to it in a terminal), or set `export.passphrase`.",
    ),
    Verdict.CARD_MISSING: (
        "the card or token that holds its key is not there or not ready",
        "Put it in, see what `gpg --card-status` says, and run the same command again.",
    ),
    Verdict.BEYOND_GPG: (
        "its packets are those of RFC 9580, which gpg does not open",
        'Set `export.engine = "auto"` and a key file, or ask the sender to seal it with gpg.',
    ),
    Verdict.BEYOND_SEQUOIA: (
        "Sequoia does not open it: an unusual cipher, curve or packet, or a key that is expired",
        'Install gpg, which opens most of these, with `export.engine = "auto"`.',
    ),
    Verdict.PASSPHRASE_NEEDED: (
        "it or its key is protected by a passphrase and none is configured",
        "Set `export.passphrase`.",
    ),
    Verdict.WRONG_PASSPHRASE: (
        "the passphrase does not open it",
        "Check what `export.passphrase` points to; look for a trailing space.",
    ),
    Verdict.WORK_FACTOR: (
        "its passphrase work factor is beyond what is allowed",
        "Ask for a work factor of at most 22 (4 GiB of memory), or for a key instead.",
    ),
    Verdict.NOT_ENCRYPTED: ("it is an OpenPGP file but not an encrypted message", _SEAL),
    Verdict.NOT_SEALED: (
        "it is neither an OpenPGP nor an age file, and plain files are refused",
        "Ask for it sealed, or again if it was; only for test data set `export.allow_plaintext`.",
    ),
    Verdict.PASSWORD_ONLY: (
        "it is sealed with a password and to no key",
        "Set `export.passphrase` to it, or ask the sender to seal it to the migration's key.",
    ),
    Verdict.NO_INTEGRITY: (
        "it carries no integrity protection, so a change could not be noticed",
        "Ask the sender to seal it with a current gpg and without --disable-mdc or --rfc2440.",
    ),
    Verdict.TRAILING: (
        "bytes follow the end of its message: {detail}",
        "Ask for one message a file; of a stray byte at the end, remove it and try again.",
    ),
    Verdict.TRUNCATED: ("it is cut short", _AGAIN),
    Verdict.DAMAGED: ("it was changed, cut short or added to on its way", _AGAIN),
    Verdict.UNSIGNED: (
        "it is not signed, and `export.signers` asks for a signature",
        "Ask the sender to sign it (gpg --sign --encrypt).",
    ),
    Verdict.SIGNER_UNKNOWN: (
        "it is signed, but by nobody among `export.signers`",
        "Find out who made it before adding a certificate to `export.signers`.",
    ),
    Verdict.SIGNATURE_BAD: (
        "its signature does not hold: wrong, expired, revoked or by a weak hash",
        "Ask the sender to sign it again with a valid key.",
    ),
    Verdict.SIGNATURE_UNJUDGED: (
        "its signature lies inside a compressed packet, which can be judged with gpg only",
        "Install gpg, or ask the sender to sign without compression (gpg -z 0).",
    ),
    Verdict.SIGNATURE_IMPOSSIBLE: (
        "`export.signers` asks for a signature, which this kind of file cannot carry",
        "Ask for a signed OpenPGP export, or remove `export.signers`.",
    ),
    Verdict.SIGNERS_UNUSABLE: (
        "a file of `export.signers` holds no OpenPGP certificate that can be read",
        "Export the sender's certificate again (gpg --armor --export).",
    ),
    Verdict.GPG_MISSING: (
        "the key lives in gpg's keyring and gpg is not installed",
        "Install gpg, or set `export.key` to a key file.",
    ),
    Verdict.GPG_FAILED: (
        "gpg could not be brought to judge it",
        "Check that gpg and its agent run for this user (gpg --list-secret-keys).",
    ),
    Verdict.DECRYPTOR_DIED: (
        "the decryptor ended without a verdict",
        "Run the same command again; if it happens again, look for an out-of-memory kill.",
    ),
    Verdict.DECRYPTOR_STALLED: (
        "the decryptor stopped moving",
        "Run the same command again; with a gpg key, check that the agent does not wait for a PIN.",
    ),
    Verdict.EMPTY: ("it is empty", "Ask the sender for the export again."),
    Verdict.TOO_LARGE: (
        "it unpacks to more bytes than allowed",
        "Ask for the export in several files if it is meant to be that large.",
    ),
    Verdict.RATIO: (
        "it unpacks to far more bytes than a card export can",
        "Treat the file as hostile; ask the sender for an export without compression.",
    ),
    Verdict.NOT_ROWS: (
        "it opens, but holds {detail} and no text of rows",
        "Ask for the cards as CSV or JSON; from a spreadsheet, saved as CSV (UTF-8).",
    ),
    Verdict.ARCHIVE_OF_MANY: (
        "it opens, but holds a {detail}; an export is one file",
        "Ask for each file of cards sealed by itself, or take the others out of the archive.",
    ),
    Verdict.ARCHIVE_LOCKED: (
        "it opens, but holds a {detail} that is locked by a password of its own",
        "Ask for the archive without a password; the seal around it is what protects it.",
    ),
    Verdict.PACKED_CUT: ("it is whole, but the {detail} in it is cut short", _PACK),
    Verdict.PACKED_DAMAGED: ("it is whole, but the {detail} in it is damaged", _PACK),
    Verdict.PACKED_TRAILING: ("bytes follow the end of the {detail} in it", _PACK),
    Verdict.PACKED_OTHERWISE: (
        "it opens, but holds a {detail}",
        "Ask for gzip, or for a ZIP archive by the usual method (deflate).",
    ),
    Verdict.PACKED_TOO_OFTEN: (
        "it is packed more than {detail} times over",
        "Treat the file as hostile, or ask for it packed once.",
    ),
    Verdict.CHANGED: (
        "it is no longer the file that was proved",
        "Put the proved file back, or start a new migration for the new one.",
    ),
    Verdict.STILL_WRITTEN: (
        "it changed while it was being read",
        "Wait until the upload is complete and run the same command again.",
    ),
}
"""What happened and what to do next, for every verdict that refuses."""

OF_OUR_KEY: Final = frozenset(
    {
        Verdict.NO_KEY,
        Verdict.KEY_UNUSABLE,
        Verdict.SSH_KEY_UNUSABLE,
        Verdict.KEY_LOCKED,
        Verdict.CARD_MISSING,
        Verdict.PASSPHRASE_NEEDED,
        Verdict.WRONG_PASSPHRASE,
        Verdict.GPG_MISSING,
    }
)
"""These speak of our key or passphrase and not of the export."""

OF_DAMAGE: Final = frozenset({Verdict.TRUNCATED, Verdict.DAMAGED, Verdict.EMPTY})
"""These bytes will never do, whatever our settings and keys are."""

OF_THE_PACKING: Final = frozenset(
    {
        Verdict.NOT_ROWS,
        Verdict.ARCHIVE_OF_MANY,
        Verdict.ARCHIVE_LOCKED,
        Verdict.PACKED_CUT,
        Verdict.PACKED_DAMAGED,
        Verdict.PACKED_TRAILING,
        Verdict.PACKED_OTHERWISE,
        Verdict.PACKED_TOO_OFTEN,
    }
)
"""These speak of what is under the seal, and may be said only where the seal holds."""
