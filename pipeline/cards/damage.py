r"""Tells texts that a spreadsheet, a database or a program has damaged before they came to us.

An id with `="00123"` around it joins with nothing, and a cardholder is not called `#REF!`. Each
kind is told by signs that no sender means; where a text may be meant, it is left alone: `=1+1`,
`Nan`, `1E5`, `&amp;`, and a blank of any kind between letters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

WORDS_FOR_NOTHING: Final = frozenset(
    (
        *("NULL", "null", "(null)", "(NULL)", "<null>", "<NULL>", "[NULL]", "[null]"),
        *("\\N", "nan", "NaN", "NaT", "<NA>", "None", "undefined", "[object Object]"),
    )
)
"""What databases and programs write where there is no value."""

_ERRORS: Final = frozenset(
    (
        *("#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"),
        *("#CALC!", "#FIELD!", "#BLOCKED!", "#GETTING_DATA", "#ERROR!"),
    )
)
_WORDS: Final = {
    **dict.fromkeys(
        WORDS_FOR_NOTHING,
        "is a word for nothing; name it in `export.null_values` where it means empty",
    ),
    **dict.fromkeys(_ERRORS, "is a spreadsheet's error and no value"),
}

# Each tells a kind of damage by the whole text.
_KINDS: Final = tuple(
    (re.compile(pattern, re.DOTALL), phrase)
    for pattern, phrase in (
        ("#{3,}", "was too wide for a spreadsheet's column"),
        ('=["\'].*["\']|=[Tt]\\(".*"\\)', 'is a spreadsheet\'s formula, ="..."'),
        # `12E4` may be an id in hexadecimal; a fraction or a sign makes it a rounded number.
        (
            r"[+-]?[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE]\+)[0-9]{1,3}",
            "was rounded by a spreadsheet or a program, as in 1.2E+11",
        ),
        ("\".+\"|'.+'", "has quotes left around it; look at `export.quoting`"),
        ("'[0-9+=-].*", "begins with a spreadsheet's apostrophe"),
        (
            r".*\\(?:[\"']|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}).*",
            "has backslash escapes left in it; look at `export.quoting`",
        ),
    )
)
_MAYBE_ROUNDED: Final = re.compile(r"[.,][0-9]+[eE][+-]?[0-9]|[0-9][eE]\+[0-9]")
_INVISIBLE: Final = re.compile("[\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]")
# The byte order mark. The other invisible signs are meant inside words of Thai, Persian or Hindi.
_MARK: Final = "\ufeff"
_MARKED: Final = re.compile(_MARK)
# Whatever is damaged is a word above, or has one of these.
_MAYBE: Final = re.compile("^[\"'#=]|\\\\|[0-9][eE]|" + _MARK)
_BEGINS_DAMAGE: Final = 1
_BEGINS_WORD: Final = 2
# By the first byte of a text, which is what most texts are told sound by.
_FIRST_BYTES: Final = np.zeros(256, dtype=np.uint8)
_FIRST_BYTES[list(b"\"'#=")] |= _BEGINS_DAMAGE
_FIRST_BYTES[[ord(word[0]) for word in _WORDS]] |= _BEGINS_WORD
_LINE_FEED: Final = ord("\n")
_TEN_DIGITS: Final = 10
_LOWER_CASE: Final = np.uint8(ord("e") ^ ord("E"))


def damages(texts: Sequence[str], *, ids: bool = False) -> dict[int, str]:
    """Give how texts are damaged, by their places; those that are sound have none.

    Args:
        texts: Values of one column, blanks stripped.
        ids: They are compared with other systems' ids, so no sign may be invisible in them.

    Returns:
        Short phrases that complete "the value ..." and hold nothing of it.
    """
    joined = "\n".join(texts)
    if are_sound(texts, joined, ids=ids):
        return {}
    looks_inside = ids and not joined.isascii()
    found = {
        place: damage(text, is_id=ids)
        for place, text in enumerate(texts)
        if looks_inside or text in _WORDS or _MAYBE.search(text)
    }
    return {place: phrase for place, phrase in found.items() if phrase is not None}


def are_sound(texts: Sequence[str], joined: str, *, ids: bool = False) -> bool:
    """Say whether no text is damaged, with one look at all of them; False leaves it open.

    Args:
        texts: Values of one column, blanks stripped.
        joined: The same, with a line feed between two of them.
        ids: As for `damages`.
    """
    signs = np.frombuffer(f"\n{joined}\n".encode("utf-8", "surrogatepass"), dtype=np.uint8)
    # What follows a line's end is the first byte of a text, or of nothing where one is empty.
    firsts = _FIRST_BYTES[signs[np.flatnonzero(signs[:-1] == _LINE_FEED) + 1]]
    return (
        not (firsts & _BEGINS_DAMAGE).any()
        and (not (firsts & _BEGINS_WORD).any() or _WORDS.keys().isdisjoint(texts))
        and "\\" not in joined
        and not _has_exponent(signs, joined)
        and (joined.isascii() or not (_INVISIBLE if ids else _MARKED).search(joined))
    )


def _has_exponent(signs: npt.NDArray[np.uint8], joined: str) -> bool:
    # Letters behind digits are common in hexadecimal ids only, and this costs little of the search.
    are_digits = signs[:-1] - np.uint8(ord("0")) < _TEN_DIGITS
    are_letters = signs[1:] | _LOWER_CASE == ord("e")
    return bool((are_digits & are_letters).any()) and _MAYBE_ROUNDED.search(joined) is not None


def damage(text: str, *, is_id: bool = False) -> str | None:
    """Say how one text is damaged, None if it is sound."""
    if text in _WORDS:
        return _WORDS[text]
    for pattern, phrase in _KINDS:
        if pattern.fullmatch(text):
            return phrase
    return "has an invisible sign inside" if _hides_a_sign(text, is_id=is_id) else None


def _hides_a_sign(text: str, *, is_id: bool) -> bool:
    return _MARK in text or (is_id and _INVISIBLE.search(text) is not None)
