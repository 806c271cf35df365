r"""Finds card numbers in a block of bytes, in every encoding we can think of.

Each encoding has a cheap question first ("can this block hold it at all?") and a decoder that
hands ASCII to `find_numbers`, so that one rule judges them all:

- plain and grouped digits, groups also parted by url-encoded, HTML, JSON or typographic blanks
  and dashes;
- digits of other scripts in UTF-8 (Thai, full-width, Arabic-Indic, Persian, Devanagari);
- UTF-16, either byte order, at odd and even places;
- base64, both alphabets, at each of its three offsets, wrapped lines too;
- hexadecimal, also as `\x34`, `\u0034`, `%34`, `0x34` and with blanks or colons.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.cards.number_rules import DIGITS_MIN
from pipeline.cards.scan_numbers import GAP_MAX, Sighting, find_numbers, longest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

REACH: Final = 1024
"""No written number is longer than this, context included (bytes)."""

# Written blanks and dashes, each replaced by as many signs, so that places stay what they were.
WRITTEN_GAPS: Final = (
    (b"%", re.compile(rb"%20|%09|%(?:C2|c2)%(?:A0|a0)"), b" "),
    (b"%", re.compile(rb"%2[Dd]"), b"-"),
    (b"&", re.compile(rb"&nbsp;|&#32;|&#160;|&#x20;|&#xa0;"), b" "),
    (b"\\u", re.compile(rb"\\u00(?:20|09|0[aAdD]|[aA]0)"), b" "),
    (b"\\u", re.compile(rb"\\u(?:002[dD]|201[0-5])"), b"-"),
    (b"\xc2", re.compile(rb"\xc2[\xa0\xad]"), b" "),
    (b"\xe2\x80", re.compile(rb"\xe2\x80[\x90-\x95]"), b"-"),
    (b"\xe2\x80", re.compile(rb"\xe2\x80[\x80-\x8f\xaf]"), b" "),
    (b"\xe2", re.compile(rb"\xe2\x88\x92"), b"-"),
    (b"\xe2", re.compile(rb"\xe2\x81\xa0"), b" "),
    (b"\xe3\x80\x80", re.compile(rb"\xe3\x80\x80"), b" "),
    (b"\xef\xbb\xbf", re.compile(rb"\xef\xbb\xbf"), b" "),
)

_GAPS_IN_ASCII: Final = tuple(gap for gap in WRITTEN_GAPS if gap[0].isascii())

# Digits of other scripts in UTF-8.
OTHER_DIGITS: Final = tuple(
    (prefix, re.compile(digit), re.compile(digit + rb"(?:[ -]?" + digit + rb"){12,40}"))
    for prefix, digit in (
        (b"\xe0\xb9", rb"\xe0\xb9[\x90-\x99]"),  # Thai
        (b"\xef\xbc", rb"\xef\xbc[\x90-\x99]"),  # full-width
        (b"\xd9", rb"\xd9[\xa0-\xa9]"),  # Arabic-Indic
        (b"\xdb", rb"\xdb[\xb0-\xb9]"),  # Persian
        (b"\xe0\xa5", rb"\xe0\xa5[\xa6-\xaf]"),  # Devanagari
    )
)

_HEX_SEPARATOR: Final = rb"(?: {1,2}|:)?(?:\\x|\\u00|%|0x)?"
HEX_DIGIT: Final = rb"3[0-9]"
HEX_NEXT: Final = _HEX_SEPARATOR + rb"(?:2[0dDeE]|5[fF])?" + _HEX_SEPARATOR + HEX_DIGIT
_HEX: Final = re.compile(HEX_DIGIT + rb"(?:" + HEX_NEXT + rb"){12,40}")
# The same, loosely and in a tenth of the time: what parts the pairs holds no 3.
_MAYBE_HEX: Final = re.compile(rb"3[0-9](?:[^3]{0,14}3[0-9]){12}")
_HEX_MARKS: Final = re.compile(rb"\\x|\\u00|%|0x|[ :]")

# Three digits, blanks or dashes are one group of four base64 signs, each from a short list.
BASE64_SIGNS: Final = (b"MNOIL", b"DTjzCSiy", b"AEIMQUYcgk0", b"wxyz012345gt")
_BASE64_CLASSES: Final = bytes(
    sum((byte in signs) << place for place, signs in enumerate(BASE64_SIGNS)) for byte in range(256)
)
LINE_ENDS: Final = b"\r\n"
BASE64_GROUPS: Final = 3
_BASE64_LOOK: Final = 80
_BASE64_WORD: Final = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

_ASCII_ONLY: Final = 0x80
_UTF16_BYTES_MAX: Final = 2 * (DIGITS_MIN - 1) * (1 + GAP_MAX)
"""How far the thirteenth digit in UTF-16 stands from the first."""


def search(block: bytes) -> Iterator[Sighting]:
    """Give every card number that stands in a block, in order of encoding; places are bytes."""
    yield from _in_ascii(block)
    if not block.isascii():
        yield from _in_other_digits(block)
    yield from _in_hex(block)
    yield from _in_base64(block)
    if next(_utf16_places(block), None):
        yield from _in_utf16(block)


def _utf16_places(block: bytes) -> Iterator[tuple[int, int]]:
    """Give where a number's worth of digits lie near one another, each beside a NUL."""
    if b"\0" not in block:
        return
    signs = np.frombuffer(block, dtype=np.uint8)
    digit, null = signs - np.uint8(ord("0")) < 10, signs == 0  # noqa: PLR2004 - ten digits.
    for beside in (digit[:-1] & null[1:], digit[1:] & null[:-1]):
        places = np.flatnonzero(beside)
        first, last = places[: 1 - DIGITS_MIN], places[DIGITS_MIN - 1 :]
        near = last - first <= _UTF16_BYTES_MAX
        for start, end in zip(first[near].tolist(), last[near].tolist(), strict=True):
            yield start, end + 2


def _without_line_ends(block: bytes) -> npt.NDArray[np.intp]:
    """Give the places of the bytes that are no line ends."""
    signs = np.frombuffer(block, dtype=np.uint8)
    return np.flatnonzero((signs != ord("\n")) & (signs != ord("\r")))


def _with_plain_gaps(block: bytes) -> bytes:
    plain = block
    for mark, written, sign in WRITTEN_GAPS if not block.isascii() else _GAPS_IN_ASCII:
        if mark in plain:
            plain = written.sub(lambda gap, sign=sign: sign * len(gap[0]), plain)  # type: ignore[misc]
    return plain


def _in_ascii(block: bytes) -> Iterator[Sighting]:
    for seen in find_numbers(_with_plain_gaps(block)):
        written_here = block[seen.start : seen.end]
        encoding = "url-encoded" if b"%" in written_here or b"+" in written_here else seen.encoding
        yield Sighting(seen.start, seen.end, encoding, seen.last_digits)


def _in_other_digits(block: bytes) -> Iterator[Sighting]:
    for prefix, digit, run in OTHER_DIGITS:
        if prefix in block:
            found = list(run.finditer(block))
            for which, seen in _decoded(digit.sub(_as_ascii, match[0]) for match in found):
                start, end = found[which].span()
                yield Sighting(start, end, "other digits", seen.last_digits)


def _decoded(pieces: Iterable[bytes]) -> Iterator[tuple[int, Sighting]]:
    """Search many small decoded pieces at once; give which piece, and the place inside it."""
    parts = list(pieces)
    starts = list(accumulate((len(part) + 1 for part in parts), initial=0))
    for seen in find_numbers(b"\n".join(parts)):
        which = bisect_right(starts, seen.start) - 1
        start, end = seen.start - starts[which], seen.end - starts[which]
        yield which, Sighting(start, end, seen.encoding, seen.last_digits)


def _as_ascii(digit: re.Match[bytes]) -> bytes:
    return b"%d" % unicodedata.decimal(digit[0].decode())


def _in_hex(block: bytes) -> Iterator[Sighting]:
    if _MAYBE_HEX.search(block) is None:
        return
    found = list(_HEX.finditer(block))
    pairs = (binascii.unhexlify(_HEX_MARKS.sub(b"", match[0])) for match in found)
    for which, seen in _decoded(pairs):
        yield Sighting(*found[which].span(), "hex", seen.last_digits)


def _in_base64(block: bytes) -> Iterator[Sighting]:
    hits = _base64_groups(block)
    if not len(hits):
        return
    flat = block.translate(None, LINE_ENDS)
    words = list(_base64_words(flat, hits))
    if not words:
        return
    kept = _without_line_ends(block)
    for which, seen in _decoded(_from_base64(flat[first:last]) for first, last in words):
        # From the place among decoded bytes to the one among signs, line ends counted again.
        place = int(kept[words[which][0] + seen.start * 4 // 3])
        yield Sighting(place, place + _BASE64_LOOK, "base64", seen.last_digits)


def _base64_words(flat: bytes, hits: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Give stretches of base64 that may hold a number, each begun at a whole group."""
    for phase in range(4):
        here = hits[hits % 4 == phase]
        far = np.flatnonzero(np.diff(here) > 2 * _BASE64_LOOK) + 1
        for near in np.split(here, far) if len(here) else ():
            low, high = max(0, int(near[0]) - _BASE64_LOOK), int(near[-1]) + _BASE64_LOOK
            for word in _BASE64_WORD.finditer(flat, low, high):
                yield word.start() + (phase - word.start()) % 4, word.end()


def _from_base64(text: bytes) -> bytes:
    # A last, incomplete group of two or three signs still holds one or two digits.
    spare = len(text) % 4
    whole = text[: len(text) - spare] if spare == 1 else text + b"==="[: -spare % 4]
    return binascii.a2b_base64(whole.translate(_TO_STANDARD))


def _base64_groups(block: bytes) -> npt.NDArray[np.intp]:
    """Give where, line ends left out, at least three groups in a row could each be three digits."""
    classes = np.frombuffer(block.translate(_BASE64_CLASSES, LINE_ENDS), dtype=np.uint8)
    size = len(classes) - 4 * BASE64_GROUPS + 1
    if size <= 0:
        return np.empty(0, dtype=np.intp)
    group = classes[:-3] & (classes[1:-2] >> 1) & (classes[2:-1] >> 2) & (classes[3:] >> 3) & 1
    chain = group[:size] & group[4 : 4 + size] & group[8 : 8 + size]
    return np.flatnonzero(chain)


def _in_utf16(block: bytes) -> Iterator[Sighting]:
    # Between other ASCII text the same digits read as either order, a byte apart, and all but
    # one of them may make a number too: of those that overlap, the longest is meant.
    # Little-endian ones stand first, and of like ones the first is kept: it is the commoner.
    yield from longest(_utf16_readings(block))


def _utf16_readings(block: bytes) -> Iterator[Sighting]:
    signs = np.frombuffer(block, dtype=np.uint8)
    for encoding, sign_at, zero_at in (("utf-16-le", 0, 1), ("utf-16-be", 1, 0)):
        for odd in (0, 1):
            for seen in find_numbers(_narrowed(signs[odd:], sign_at, zero_at)):
                # From the byte of the first digit, so that both readings of it begin alike.
                start, end = odd + 2 * seen.start + sign_at, odd + 2 * seen.end + sign_at
                yield Sighting(start, end, encoding, seen.last_digits)


def _narrowed(signs: npt.NDArray[np.uint8], sign_at: int, zero_at: int) -> bytes:
    pairs = signs[: len(signs) // 2 * 2].reshape(-1, 2)
    low, high = pairs[:, sign_at], pairs[:, zero_at]
    narrow = np.where((high == 0) & (low < _ASCII_ONLY), low, np.uint8(0xFF)).astype(np.uint8)
    # The blanks and dashes of typography that stand in UTF-8 among the written gaps.
    narrow[(high == 0) & (low == 0xA0)] = ord(" ")  # noqa: PLR2004 - the no-break space.
    typographic = high == 0x20  # noqa: PLR2004 - U+2000 to U+20FF.
    narrow[typographic & ((low < 0x10) | (low == 0x2F))] = ord(" ")  # noqa: PLR2004 - the same.
    narrow[typographic & (low >= 0x10) & (low < 0x16)] = ord("-")  # noqa: PLR2004 - the same.
    return narrow.tobytes()
