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
from tests.support.reference_scan.scan_numbers import Sighting, find_numbers, longest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

REACH: Final = 1024
"""No written number is longer than this, context included (bytes)."""

# Written blanks and dashes, each replaced by as many signs, so that places stay what they were.
_WRITTEN_GAPS: Final = (
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

_WRITTEN_GAPS_IN_ASCII: Final = tuple(gap for gap in _WRITTEN_GAPS if gap[0].isascii())

# Digits of other scripts in UTF-8.
_OTHER_DIGITS: Final = tuple(
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
_HEX: Final = re.compile(
    rb"3[0-9](?:" + _HEX_SEPARATOR + rb"(?:2[0dDeE]|5[fF])?" + _HEX_SEPARATOR + rb"3[0-9]){12,40}"
)
_HEX_MARKS: Final = re.compile(rb"\\x|\\u00|%|0x|[ :]")

# Three digits, blanks or dashes are one group of four base64 signs, each from a short list.
_BASE64_SIGNS: Final = (b"MNOIL", b"DTjzCSiy", b"AEIMQUYcgk0", b"wxyz012345gt")
_BASE64_CLASSES: Final = np.array(
    [sum((byte in signs) << place for place, signs in enumerate(_BASE64_SIGNS)) for byte in range(256)],
    dtype=np.uint8,
)  # fmt: skip
_BASE64_GROUPS: Final = 3
_BASE64_LOOK: Final = 80
_BASE64_WORD: Final = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

_ASCII_ONLY: Final = 0x80
_NULS_MIN: Final = DIGITS_MIN - 1


def search(block: bytes) -> Iterator[Sighting]:
    """Give every card number that stands in a block, in order of encoding; places are bytes."""
    yield from _in_ascii(block)
    if not block.isascii():
        yield from _in_other_digits(block)
    yield from _in_hex(block)
    yield from _in_base64(block)
    if block.count(b"\0") >= _NULS_MIN:
        yield from _in_utf16(block)


def _in_ascii(block: bytes) -> Iterator[Sighting]:
    plain = block
    for mark, written, sign in _WRITTEN_GAPS if not block.isascii() else _WRITTEN_GAPS_IN_ASCII:
        if mark in plain:
            plain = written.sub(lambda gap, sign=sign: sign * len(gap[0]), plain)  # type: ignore[misc]
    for seen in find_numbers(plain):
        written_here = block[seen.start : seen.end]
        encoding = "url-encoded" if b"%" in written_here or b"+" in written_here else seen.encoding
        yield Sighting(seen.start, seen.end, encoding, seen.last_digits)


def _in_other_digits(block: bytes) -> Iterator[Sighting]:
    for prefix, digit, run in _OTHER_DIGITS:
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
    found = list(_HEX.finditer(block))
    pairs = (binascii.unhexlify(_HEX_MARKS.sub(b"", match[0])) for match in found)
    for which, seen in _decoded(pairs):
        yield Sighting(*found[which].span(), "hex", seen.last_digits)


def _in_base64(block: bytes) -> Iterator[Sighting]:
    flat = block.translate(None, b"\r\n")
    words = list(_base64_words(flat))
    if not words:
        return
    signs = np.frombuffer(block, dtype=np.uint8)
    kept = np.flatnonzero((signs != ord("\n")) & (signs != ord("\r")))
    for which, seen in _decoded(_from_base64(flat[first:last]) for first, last in words):
        # From the place among decoded bytes to the one among signs, line ends counted again.
        place = int(kept[words[which][0] + seen.start * 4 // 3])
        yield Sighting(place, place + _BASE64_LOOK, "base64", seen.last_digits)


def _base64_words(flat: bytes) -> Iterator[tuple[int, int]]:
    """Give stretches of base64 that may hold a number, each begun at a whole group."""
    hits = _base64_groups(flat)
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


def _base64_groups(flat: bytes) -> npt.NDArray[np.intp]:
    """Give where at least three groups in a row could each be three digits."""
    classes = _BASE64_CLASSES[np.frombuffer(flat, dtype=np.uint8)]
    size = len(flat) - 4 * _BASE64_GROUPS + 1
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
    narrow[(high == 0) & (low == 0xA0)] = ord(" ")
    typographic = high == 0x20
    narrow[typographic & ((low < 0x10) | (low == 0x2F))] = ord(" ")
    narrow[typographic & (low >= 0x10) & (low < 0x16)] = ord("-")
    return narrow.tobytes()
