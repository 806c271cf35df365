"""Tells what kind of container an export is, by its first bytes, and how an age file is sealed.

The content decides; the name may only contradict it. A damaged first byte must not turn a sealed
export into a "plain" one, not even where plain files are allowed.

A file whose lines are sealed one by one (each an OpenPGP message in base64) has no seal as a whole:
each line is whole and genuine or is not, but lines that were taken out, put twice or swapped leave
no trace. A plain first line may name the columns.

Source for age: the C2SP specification, https://c2sp.org/age, "Header" and "ASCII armor".
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, Literal

from pipeline.exports.armor import unwrapped
from pipeline.exports.end_mark import END_MARK
from pipeline.exports.openpgp_head import ARMOR_LINE, looks_like_message, read_head
from pipeline.exports.verdict import Refused, Verdict

Kind = Literal["openpgp", "openpgp_lines", "age", "plain"]

AGE_MAGIC: Final = b"age-encryption.org/v1\n"
AGE_ARMOR_LINE: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"

LINE_BYTES_MAX: Final = 2**20
"""The longest line that may be sealed by itself."""
_MESSAGE_BYTES_MIN: Final = 40
_SEALED_SUFFIXES: Final = (".pgp", ".gpg", ".asc", ".age")


def kind_of(first: bytes, name: str) -> Kind:
    """Tell an export's kind.

    Args:
        first: The file's first bytes, a few kilobytes at least where the file has them.
        name: The file's name; a sealed suffix on plain content is a contradiction.

    Raises:
        Refused: `EMPTY`, `NOT_ENCRYPTED` for OpenPGP that is no encrypted message, `NOT_SEALED`
            where name and content contradict each other.
    """
    if not first:
        raise Refused(Verdict.EMPTY)
    first = unwrapped(first)
    text = first.lstrip()
    if is_age(first):
        return "age"
    if text.startswith(b"-----BEGIN PGP") and not text.startswith(ARMOR_LINE):
        raise Refused(Verdict.NOT_ENCRYPTED)
    if text.startswith(ARMOR_LINE) or looks_like_message(first):
        _refuse_bare(first)
        return "openpgp"
    if first_sealed_line(first) is not None:
        return "openpgp_lines"
    if name.lower().endswith(_SEALED_SUFFIXES):
        raise Refused(Verdict.NOT_SEALED)
    return "plain"


def is_age(first: bytes) -> bool:
    """Tell an age file, binary or armored, by its first bytes."""
    return first.startswith(AGE_MAGIC) or first.lstrip().startswith(AGE_ARMOR_LINE)


def sealed_openpgp(first: bytes) -> bool:
    """Tell a binary OpenPGP message that is encrypted, by its packets up to the encrypted one.

    Old encrypted data (tag 9) has no version that would tell it from a letter beyond ASCII, so it
    counts only behind a packet that says who can open it.
    """
    if not looks_like_message(first):
        return False
    head = read_head(first)
    opens = bool(head.recipients) or head.password
    return head.container not in {None, "clear"} and (opens or head.container != "sed")


def first_sealed_line(first: bytes) -> bytes | None:
    """Give the message on the first or second line of a file; None where there is none.

    Args:
        first: The file's first bytes, both lines whole.
    """
    lines = first.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 2)
    # What a block ends with may be half a line.
    return next(filter(None, map(message_of, lines[:2])), None)


def message_of(line: bytes) -> bytes | None:
    """Give the OpenPGP message that a line holds in base64; None where it holds none."""
    try:
        message = base64.b64decode(line.strip(b'\r\n \t"' + END_MARK), validate=True)
    except binascii.Error:
        return None
    sealed = (
        len(message) >= _MESSAGE_BYTES_MIN
        and looks_like_message(message)
        and read_head(message).container not in {None, "clear"}
    )
    return message if sealed else None


def sealed_by_passphrase(first: bytes) -> bool:
    """Tell whether an age file names a passphrase as its way in; it is the only way then."""
    header = first if first.startswith(AGE_MAGIC) else _dearmored(first)
    return header.startswith(AGE_MAGIC + b"-> scrypt ")


def is_age_identity(key: bytes) -> bool:
    """Tell an age identity file, also one that is sealed by passphrase, from an OpenPGP key."""
    return b"AGE-SECRET-KEY-" in key or is_age(key)


def _refuse_bare(first: bytes) -> None:
    """Refuse what needs no key to be refused."""
    head = read_head(first)
    if head.container == "clear":
        raise Refused(Verdict.NOT_ENCRYPTED)
    if head.container == "sed":
        raise Refused(Verdict.NO_INTEGRITY)
    if not head.canonical:
        raise Refused(Verdict.DAMAGED)


def _dearmored(first: bytes) -> bytes:
    lines = first.lstrip().splitlines()[1:4]
    try:
        return b"".join(base64.b64decode(line, validate=True) for line in lines)
    except binascii.Error:
        return b""
