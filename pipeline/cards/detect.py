"""Finds card numbers where none may be: in a text, whatever separates the digits.

This is the strict one of the two rules of what a card number is. For input, `PanColumn.from_texts`
takes what a sender put into the column of numbers, right or wrong; here a text that is meant to be
something else must be beyond doubt before a row is rejected or a log line withheld for it.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.brands import PREFIX_DIGITS, RANGES, UNKNOWN, range_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Flags: TypeAlias = npt.NDArray[np.bool_]

# A run of digits with separators between them, as people and programs write numbers.
_FOREIGN_SIGNS: Final = r"\u00a0\u00ad\u2000-\u2015\u202f\u2060\u2212\u3000\ufeff"
_RUN: Final = re.compile(rf"[0-9](?:[ \t{_FOREIGN_SIGNS}-]*[0-9]){{12,}}")
_GROUP: Final = re.compile(r"[0-9]+")
# Parted by signs that also part versions, dates and paths: only as a card shows its groups.
_LAID_OUT: Final = re.compile(
    r"(?<![0-9])(?=([0-9]{4}(?:([._/+])[0-9]{4}\2[0-9]{4}\2(?:[0-9]{1,3}|[0-9]{4}(?:\2[0-9]{3})?)"
    r"|([._/+])[0-9]{6}\3[0-9]{4,5})(?![0-9])))"
)
_TRACK: Final = re.compile(r"[Bb][0-9 ]{12,19}\^|[0-9]{12,19}=[0-9]{4}")
_FOREIGN_DIGIT: Final = re.compile(r"[^\D0-9]")
_FOREIGN: Final = re.compile(rf"[^\D0-9]|[{_FOREIGN_SIGNS}]")
_SHORTEST_IN_TEXT: Final = 13
_LENGTHS_IN_TEXT: Final = {
    UNKNOWN.brand: (),
    **{
        known.brand: tuple(range(max(known.digits_min, _SHORTEST_IN_TEXT), known.digits_max + 1))
        for known in RANGES
    },
    "Visa": (13, 16, 19),
}
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED_VALUES: Final = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
# Every digit to "0", the line's end kept, separators dropped: thirteen zeros are worth a look.
_TO_ZEROS: Final = re.sub(rb"[^0\n]", b".", re.sub(rb"[1-9]", b"0", bytes(range(256))))
_WORTH_A_LOOK: Final = b"0" * _SHORTEST_IN_TEXT


def contains_pan(text: str) -> bool:
    """Say whether a text holds what can only be a card number, or a magnetic track.

    A card number is 13 to 19 digits, in one run or in groups parted by blanks or dashes (dots,
    low lines, slashes and plus signs only between the groups that cards show), of a known brand's
    range and length (Visa also 13 and 19), with the right check digit. Digits of other scripts
    count as digits here. Times, phone numbers and most ids do not pass.
    """
    if not text.isascii():
        text = _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    return _TRACK.search(text) is not None or any(
        _run_holds_pan(_GROUP.findall(run)) for run in _runs(text)
    )


def _runs(text: str) -> list[str]:
    runs = [found[0] for found in _RUN.finditer(text)]
    if any(sign in text for sign in "._/+"):
        runs += [found[1] for found in _LAID_OUT.finditer(text)]
    return runs


def texts_containing_pan(texts: Sequence[str]) -> Flags:
    """Say for each text whether it contains a card number or a track, as `contains_pan` does."""
    found = np.zeros(len(texts), dtype=np.bool_)
    joined = "\n".join(texts)
    if "^" in joined or "=" in joined or (not joined.isascii() and _FOREIGN.search(joined)):
        found[:] = [contains_pan(text) for text in texts]
        return found
    if joined.count("\n") >= len(texts) > 0:
        joined = "\n".join([text.replace("\n", " ") for text in texts])
    zeros = joined.encode("ascii", "replace").translate(_TO_ZEROS, b" \t-._/+")
    row = seen = 0
    while (hit := zeros.find(_WORTH_A_LOOK, seen)) >= 0:
        row += zeros.count(b"\n", seen, hit)
        found[row] = contains_pan(texts[row])
        seen = zeros.find(b"\n", hit)
        if seen < 0:
            break
    return found


def _run_holds_pan(groups: list[str]) -> bool:
    digits = "".join(groups)
    ends = [*accumulate(map(len, groups))]
    whole = {0, *ends}
    for start in (0, *ends):
        # The brand comes first: most starts have none, and then no check digit is worked out.
        prefix = digits[start : start + PREFIX_DIGITS]
        lengths = _LENGTHS_IN_TEXT[range_of(int(prefix)).brand] if prefix else ()
        for length in lengths:
            if start + length in whole and _luhn(digits[start : start + length]):
                return True
    return False


def _luhn(digits: str) -> bool:
    values = digits.encode().translate(_VALUES)
    return (sum(values[::-2]) + sum(values[-2::-2].translate(_DOUBLED_VALUES))) % 10 == 0
