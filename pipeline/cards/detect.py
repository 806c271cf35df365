"""Finds card numbers where none may be: in a text, whatever separates the digits.

What digits are a card number is the question of `number_rules`. How sure one must be that digits of
a text belong together is asked in two strictnesses, because an error costs differently:

- LOOSE, for the texts of an export and for our own log lines: digits count that could be meant as
  a number, in any groups parted by blanks or dashes, and tracks. A row rejected for nothing is
  seen, and can be asked about; a number that slips through stays in a mapping for years.
- STRICT, for files of any origin (`cardferry scan`, which asks `scan_numbers` block by block): only
  what is written as numbers are. A random run of 16 digits passes the arithmetic once in forty
  times, and a folder full of ids would drown the real find. What that leaves out stands there.

Whatever the strict rule finds, the loose one finds too. Digits that are encoded (hexadecimal,
base64, escapes) are decoded by `scan_encodings`, which then asks the strict rule.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from pipeline.cards.number_rules import (
    DIGITS_MIN,
    GROUP_IN_LISTS_MAX,
    LAYOUTS,
    check_digit_fits,
    is_card_number,
    lengths_of_brand,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Strictness(Enum):
    """How sure one must be that digits of a text belong together as one card number."""

    LOOSE = "loose"
    STRICT = "strict"


# A run of digits with separators between them, as people and programs write numbers.
_RUN: Final = re.compile(r"[0-9](?:[ \t-]*[0-9]){12,}")
_GROUP: Final = re.compile(r"[0-9]+")
# These signs also part versions, dates and paths, so digits between them count only where they
# stand in groups as cards show them.
_PARTED: Final = re.compile(
    r"(?<![0-9])(?=([0-9]{1,13}([._/+])[0-9]{1,13}(?:\2[0-9]{1,13}){0,18})(?![0-9]))"
)
_TRACK: Final = re.compile(r"[Bb][0-9 ]{12,19}\^|[0-9]{12,19}=[0-9]{4}")
# A digest or a UUID has the digits of a card now and then. With a letter, and in one case: sixteen
# digits in the shape of a UUID are somebody's attempt to hide them.
_IDENTITY: Final = re.compile(
    r"\b(?:(?=[0-9]{0,127}[A-Fa-f])(?:(?:[0-9a-f]{8}){4,16}|(?:[0-9A-F]{8}){4,16})"
    r"|(?=[0-9-]{0,35}[A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\b"
)
_EDGES: Final = re.compile(r"([0-9]*).*?([0-9]*)")
_FOREIGN: Final = re.compile(
    r"(?P<digit>[^\D0-9])|[\u2010-\u2015\u2212]|[\u00a0\u00ad\u2000-\u200f\u202f\u2060\u3000\ufeff]"
)
FIGURES: Final = re.compile(
    "[\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c"
    "\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\U00010a40-\U00010a43"
    "\U00010e60-\U00010e68\U00011052-\U0001105a\U0001f100-\U0001f10a]"
)
"""Raised, circled and the like: no decimal digits, but a person reads a number in them."""
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
# Every digit to "0", the line's end kept, separators dropped: thirteen zeros are worth a look.
_TO_ZEROS: Final = re.sub(rb"[^0\n]", b".", re.sub(rb"[1-9]", b"0", bytes(range(256))))
_WORTH_A_LOOK: Final = b"0" * DIGITS_MIN
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789\n"))
_TRACK_DIGITS: Final = b"0" * 12


def without_numbers(text: str) -> str:
    """Give a text, such as a file's name; in one that holds a card number every digit is a star."""
    return re.sub(r"\d", "*", text) if contains_pan(text) else text


def contains_pan(text: str, strictness: Strictness = Strictness.LOOSE) -> bool:
    """Say whether a text holds a card number; loosely, also whether it holds a magnetic track.

    Digits, blanks and dashes of other scripts count as such. Times, phone numbers, digests, UUIDs
    and most ids do not pass in either strictness.
    """
    if not text.isascii():
        text = _FOREIGN.sub(_as_ascii, text)
    if strictness is Strictness.STRICT:
        # The search of files needs numpy, which the loose question of every log line does not.
        from pipeline.cards.scan_numbers import find_numbers  # noqa: PLC0415

        return any(find_numbers(text.encode("ascii", "replace")))
    if len(text) > DIGITS_MIN:
        text = _IDENTITY.sub(_without_middle, text)
    return (
        holds_track(text)
        or any(_run_holds_pan(_GROUP.findall(run[0])) for run in _RUN.finditer(text))
        or _holds_parted_pan(text)
    )


def holds_track(text: str) -> bool:
    """Say whether a text holds the data of a magnetic track (ISO/IEC 7813)."""
    return _TRACK.search(text) is not None


def texts_containing_pan(texts: Sequence[str]) -> list[bool]:
    """Say for each text what `contains_pan` says loosely, with one look at all of them."""
    joined = "\n".join(texts)
    if "^" in joined or "=" in joined or (not joined.isascii() and _FOREIGN.search(joined)):
        return [contains_pan(text) for text in texts]
    found = [False] * len(texts)
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


def lack_digits(joined: str) -> bool:
    """Say whether none of these texts has as many digits as a card number or a track.

    A track has twelve in a row at least. False leaves it open: each text has to be looked at.

    Args:
        joined: Texts with a line feed between two of them.
    """
    if "^" in joined:
        return False
    if not joined.isascii() and (_FOREIGN.search(joined) or FIGURES.search(joined)):
        return False
    return _TRACK_DIGITS not in joined.encode("ascii", "replace").translate(_TO_ZEROS, _NO_DIGITS)


def repeats_number(texts: Sequence[str], number: bytes | memoryview) -> bool:
    """Say whether one of the texts holds the digits of a known number.

    Looking for *any* card number needs rules of brands, lengths and check digits, and misses what
    has none. A row's own number is known, so all that counts is its digits: in any grouping, with
    any signs between them, forwards or backwards, alone or inside a longer run.

    Args:
        texts: Texts of the number's own row or answer.
        number: The digits in ASCII.
    """
    joined = "\n".join(texts)
    if joined.isascii() and joined.count("\n") == len(texts) - 1:
        digits = joined.encode("ascii").translate(None, _NO_DIGITS)
    else:
        # Here digits go on behind a line feed, too.
        digits = b"\n".join([_digits_of(text) for text in texts])
    if len(digits) < len(number):
        return False
    forwards = bytes(number)
    # `in` first takes bytes for a number, and clears away the error that this is.
    return digits.find(forwards) >= 0 or digits.find(forwards[::-1]) >= 0


def _digits_of(text: str) -> bytes:
    return "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdigit()).encode("ascii")


def _as_ascii(sign: re.Match[str]) -> str:
    if sign["digit"]:
        return str(unicodedata.decimal(sign["digit"]))
    return "-" if sign[0] in _DASHES else " "


def _without_middle(identity: re.Match[str]) -> str:
    # The digits at either end may be groups of a number that goes on beside it.
    edges = _EDGES.fullmatch(identity[0])
    ends = edges.groups() if edges else ()
    return "x".join(end if len(end) < DIGITS_MIN else "" for end in ends)


def _run_holds_pan(groups: list[str]) -> bool:
    digits = "".join(groups)
    ends = [*accumulate(map(len, groups))]
    whole = {0, *ends}
    for start in (0, *ends[:-1]):
        # The brand comes first: most starts have none, and then no check digit is worked out.
        for length in lengths_of_brand(digits[start : start + DIGITS_MIN]):
            if start + length in whole and check_digit_fits(digits[start : start + length]):
                return True
    return False


def _holds_parted_pan(text: str) -> bool:
    if not any(sign in text for sign in "._/+"):
        return False
    return any(
        is_card_number("".join(groups))
        for parted in _PARTED.finditer(text)
        for groups in _laid_out(parted)
    )


def _laid_out(parted: re.Match[str]) -> list[list[str]]:
    """Give the groups that a list of them begins with, once for each layout that they have."""
    sign, start = parted[2], parted.start()
    groups = parted[1].split(sign)
    sizes = tuple(map(len, groups))
    before = parted.string[max(0, start - 2) : start]
    goes_on = before[-1:] == sign and before[:1].isdecimal()
    return [
        groups[: len(layout)]
        for layout in LAYOUTS
        if sizes[: len(layout)] == layout
        and (layout[0] > GROUP_IN_LISTS_MAX or (sizes == layout and not goes_on))
    ]
