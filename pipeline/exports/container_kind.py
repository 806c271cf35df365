"""What kind of container an export is: its first bytes and its name in, the kind out.

The content decides; the name may only contradict it. A damaged first byte must not turn a sealed
export into a "plain" one, not even where plain files are allowed.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Final, Literal

from pipeline.exports.age_head import is_age
from pipeline.exports.container import ARMOR_LINE, looks_like_message, read_head
from pipeline.exports.verdict import Refused, Verdict

Kind = Literal["openpgp", "age", "plain"]

_SEALED_SUFFIXES: Final = frozenset({".pgp", ".gpg", ".asc", ".age"})


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
    text = first.lstrip()
    if is_age(first):
        return "age"
    if text.startswith(b"-----BEGIN PGP") and not text.startswith(ARMOR_LINE):
        raise Refused(Verdict.NOT_ENCRYPTED)
    if text.startswith(ARMOR_LINE) or looks_like_message(first):
        _refuse_bare(first)
        return "openpgp"
    if PurePath(name).suffix.lower() in _SEALED_SUFFIXES:
        raise Refused(Verdict.NOT_SEALED)
    return "plain"


def _refuse_bare(first: bytes) -> None:
    """Refuse what needs no key to be refused."""
    head = read_head(first)
    if head.container == "clear":
        raise Refused(Verdict.NOT_ENCRYPTED)
    if head.container == "sed":
        raise Refused(Verdict.NO_INTEGRITY)
    if head.password and not head.recipients:
        raise Refused(Verdict.PASSWORD_ONLY)
    if not head.canonical:
        raise Refused(Verdict.DAMAGED)
