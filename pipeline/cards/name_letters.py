"""Counts the letters beyond ASCII in names, and says what they would be in another encoding.

By them a person sees whether an export was read in its own encoding: a letter alone is no name.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ALPHABETS: Final = frozenset(("Latin", "Greek", "Cyrillic"))
"""Scripts of few letters with accents; the letters of others are told by their script alone."""
_NEXT: Final = {"cp1252": "cp1250", "iso8859-1": "cp1250", "iso8859-15": "cp1250"}
_NEXT_OF_OTHERS: Final = "cp1252"
_ONE_BYTE: Final = frozenset(("cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859-2"))


def script_of(sign: str) -> str:
    """Give a letter's script by its name in Unicode; nothing for marks, digits and signs."""
    if not sign.isalpha():
        return ""
    first, *rest = unicodedata.name(sign, "unknown").split()
    # Full-width and half-width forms are letters of the script that follows.
    word = rest[0] if first in {"FULLWIDTH", "HALFWIDTH"} and rest else first
    return {"CJK": "Han", "FEMININE": "", "MASCULINE": ""}.get(word, word.capitalize())


def accented(names: Sequence[str]) -> Counter[str]:
    """Count the letters beyond ASCII of alphabets with accents."""
    signs = Counter("".join(names))
    return Counter(
        {
            sign: count
            for sign, count in signs.items()
            if not sign.isascii() and script_of(sign) in _ALPHABETS
        }
    )


def in_another_encoding(letters: Iterable[str], encoding: str) -> tuple[str, dict[str, str]] | None:
    """Say what letters would be in the encoding that is next as likely.

    Args:
        letters: As they were read.
        encoding: In which they were read.

    Returns:
        The other encoding, and those letters that are others in it; None where no other encoding
        would read any of them otherwise, or where one byte is not one letter.
    """
    own = codecs.lookup(encoding).name
    other = _NEXT.get(own) or (_NEXT_OF_OTHERS if own in _ONE_BYTE else None)
    if other is None:
        return None
    pairs = {
        letter: letter.encode(own, "ignore").decode(other, "replace")
        for letter in letters
        if not letter.isascii()
    }
    changed = {letter: read for letter, read in pairs.items() if read and read != letter}
    return (other, changed) if changed else None
