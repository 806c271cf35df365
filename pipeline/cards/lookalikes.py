"""Tells ids and phone numbers that pass as card numbers by chance from real card numbers.

One numeric id of 16 digits in ten begins as a brand's cards do, and of these one in ten has the
right check digit. Nothing in the digits tells such an id from a card, so whether it may pass is
asked in the settings; and a column more than half of which passes holds no ids.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import holds_track, texts_containing_pan
from pipeline.cards.number_rules import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROUPS: Final = re.compile(r"[0-9]+(?:[ \t._/+-]+[0-9]+)+")
_LAID_OUT: Final = frozenset(layout for layout in LAYOUTS if len(layout) > 1)
_LONGEST: Final = max(map(len, _LAID_OUT))

_PHONE: Final = re.compile(
    r"[( ]*(?P<abroad>\+|00)?(?P<digits>[0-9 ().\t/-]+?)(?: *(?:ext\.?|x|#) *[0-9]{1,6})?",
    re.IGNORECASE,
)
_PHONE_DIGITS_MAX: Final = 13
_E164_DIGITS_MAX: Final = 15


def ids_by_chance(texts: Sequence[str]) -> list[bool]:
    """Say which ids hold a card number's digits, but in no form that people give to cards.

    Their digits stand in one run or in groups of other sizes than a card's, and it is no track.
    """
    found = texts_containing_pan(texts)
    for place, text in enumerate(texts):
        if found[place]:
            found[place] = not holds_track(text) and not _is_laid_out(text)
    return found


def phones(texts: Sequence[str]) -> list[bool]:
    """Say which texts are phone numbers: up to 13 digits, or 15 behind a `+` or `00` (ITU-T E.164)."""
    return [_is_phone(text) for text in texts]


def _is_laid_out(text: str) -> bool:
    for run in _GROUPS.finditer(text):
        sizes = tuple(map(len, re.findall("[0-9]+", run[0])))
        for first in range(len(sizes)):
            for last in range(first + 2, min(first + _LONGEST, len(sizes)) + 1):
                if sizes[first:last] in _LAID_OUT:
                    return True
    return False


def _is_phone(text: str) -> bool:
    match = _PHONE.fullmatch(text) if text.isascii() else None
    if match is None:
        return False
    digits: int = sum(sign.isdigit() for sign in match["digits"])
    return digits <= (_E164_DIGITS_MAX if match["abroad"] else _PHONE_DIGITS_MAX)
