"""Keeps card numbers where nothing can print them; no other type of this program holds any.

A column of numbers is one numpy buffer beside the texts of a chunk, never among them, so that no log,
pickle or traceback can carry a number by accident. `PanColumn.reveal` is the one way out. Numbers
leave traces that Python cannot erase (the text they were read from is immutable); `wipe` empties
our own buffer early and is no more than that.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.cards.detect import FIGURES, repeats_number
from pipeline.cards.number_rules import (
    CARD_DIGITS_MIN,
    DIGITS_MAX,
    PREFIX_DIGITS,
    RANGES,
    UNKNOWN,
    check_digits_fit,
)
from pipeline.cards.published_numbers import REMAINDERS, SIEVE, is_published

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    Flags: TypeAlias = npt.NDArray[np.bool_]
    Positions: TypeAlias = npt.NDArray[np.intp]


class Shape(IntEnum):
    """What the text of a card number looks like, before any arithmetic."""

    DIGITS = 0
    MISSING = 1
    NOT_DIGITS = 2
    MASKED = 3
    DAMAGED = 4


# The unknown range stands first, so that a place of zero means "no brand".
_KNOWN: Final = (UNKNOWN, *RANGES)
_STARTS: Final = np.array([known.first for known in _KNOWN], dtype=np.int32)
_ENDS: Final = np.array([known.last for known in _KNOWN], dtype=np.int32)
_NAMES: Final = np.array([known.brand for known in _KNOWN], dtype=object)
_SHORTEST: Final = np.array([known.digits_min for known in _KNOWN], dtype=np.int16)
_LONGEST: Final = np.array([known.digits_max for known in _KNOWN], dtype=np.int16)
_PLACES: Final = 10 ** np.arange(PREFIX_DIGITS - 1, -1, -1, dtype=np.int32)
_IN_SIEVE: Final = np.isin(np.arange(SIEVE), REMAINDERS)
_SIEVE_PLACES: Final = np.array(
    [pow(10, place, SIEVE) for place in range(DIGITS_MAX - 1, -1, -1)], dtype=np.int32
)
_LAST_FOUR: Final = np.array([f"{number:04d}" for number in range(10_000)], dtype=object)

# Stars, crosses, hashes, dots, bullets (also of other scripts): what masks are drawn with.
_MASK_SIGNS: Final = r"[*xX#.?_\u2022\u25cf\u00b7\u2217\uff0a\u2026]"
_MASK: Final = re.compile(rf"(?=.*{_MASK_SIGNS}{{2}})(?:[0-9]|{_MASK_SIGNS})+")
_MANY_DIGITS: Final = re.compile(rf"(?:\d\D*){{{CARD_DIGITS_MIN}}}")
_SEPARATORS: Final = b" -\t"
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789\n"))
_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_MANY_ZEROS: Final = b"0" * CARD_DIGITS_MIN
_TO_ASCII: Final = bytes.maketrans(bytes(range(10)), b"0123456789")
_TENS: Final = np.array([10**place for place in reversed(range(DIGITS_MAX))], dtype=np.uint64)
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio (Knuth, multiplicative hashing). It is odd, so that multiplying by it
modulo 2^64 makes no two numbers one."""
_ROUNDED: Final = re.compile(r"[0-9]+(?:[.,][0-9]*)?(?:[eE]\+?[0-9]{1,2})?")


class PanColumn:
    """A column of card numbers that is never printed, copied or pickled.

    `shapes` says what each text looked like and `lengths` how many digits it had (zero unless it
    was digits); both are numpy arrays in the column's order.
    """

    __slots__ = ("_digits", "_ranges", "lengths", "shapes")

    def __init__(
        self,
        digits: npt.NDArray[np.uint8],
        lengths: npt.NDArray[np.int16],
        shapes: npt.NDArray[np.uint8],
    ) -> None:
        # Values 0-9, right-aligned, zeros on the left: a check digit then needs no lengths.
        self._digits = digits
        self.lengths = lengths
        self.shapes = shapes
        self._ranges: Positions | None = None

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> PanColumn:
        """Take card numbers as they stand in an export.

        Spaces, tabs and dashes are dropped. Nothing else is: a spreadsheet's leading apostrophe,
        a formula or a digit of another script makes the text `NOT_DIGITS`, since what a sender
        meant by it is not ours to guess.
        """
        joined = "\n".join([*texts, ""])
        if joined.count("\n") != len(texts):
            joined = "\n".join([*(text.replace("\n", "?") for text in texts), ""])
        packed = joined.encode("ascii", "replace")
        if any(sign in packed for sign in _SEPARATORS):
            packed = packed.translate(None, _SEPARATORS)
        padded = np.frombuffer(bytes(DIGITS_MAX) + packed, dtype=np.uint8)
        ends = np.flatnonzero(padded == ord("\n")) - DIGITS_MAX
        lengths = (np.diff(ends, prepend=-1) - 1).astype(np.int32)
        # The nineteen bytes before each line's end; what belongs to the line before is blanked.
        digits = sliding_window_view(padded, DIGITS_MAX)[ends]
        digits -= np.uint8(ord("0"))
        digits *= np.arange(DIGITS_MAX) >= DIGITS_MAX - lengths[:, None]
        plain = (lengths > 0) & (lengths <= DIGITS_MAX)
        others = digits > 9  # noqa: PLR2004 - ten digits.
        if others.any():
            plain &= ~others.any(axis=1)
        shapes = np.zeros(len(texts), dtype=np.uint8)
        for index in np.flatnonzero(~plain).tolist():
            shapes[index], lengths[index] = _shape(texts[index])
            digits[index] = 0
        return cls(digits, np.minimum(lengths, np.iinfo(np.int16).max).astype(np.int16), shapes)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: Flags | Positions | Sequence[int]) -> PanColumn:
        """Give a new column of the rows that a mask or positions select; it has its own buffer."""
        chosen = np.asarray(rows)
        if chosen.dtype != np.bool_:
            chosen = chosen.astype(np.intp)
        return PanColumn(self._digits[chosen], self.lengths[chosen], self.shapes[chosen])

    def luhn(self) -> Flags:
        """Say which numbers have the right check digit; a number that is not digits has not."""
        return np.asarray(check_digits_fit(self._digits) & self._known(), dtype=np.bool_)

    def brands(self) -> npt.NDArray[np.object_]:
        """Give each number's brand by its first digits, as the vault spells it, or `""`."""
        return np.asarray(_NAMES[self._brand_ranges()], dtype=np.object_)

    def of_brands(self, brands: Collection[str]) -> Flags:
        """Say which numbers are of one of these brands."""
        known = np.array([name in brands for name in _NAMES.tolist()], dtype=np.bool_)
        return np.asarray(known[self._brand_ranges()], dtype=np.bool_)

    def length_fits(self, *, any_brand: bool = False) -> Flags:
        """Say which numbers are as long as their brand's are; 12-19 of an unknown or any brand."""
        if any_brand:
            return self._known()
        ranges = self._brand_ranges()
        fits = (self.lengths >= _SHORTEST[ranges]) & (self.lengths <= _LONGEST[ranges])
        return np.asarray(fits, dtype=np.bool_)

    def last_digits(self) -> npt.NDArray[np.object_]:
        """Give the last four digits as text, None where there are not 12 to 19 digits."""
        last = _LAST_FOUR[self._digits[:, -4:] @ _PLACES[-4:]]
        last[~self._known()] = None
        return np.asarray(last, dtype=np.object_)

    def is_published_test_number(self) -> Flags:
        """Say which numbers stand on a vault's public list of test cards."""
        found = self._known() & _IN_SIEVE[(self._digits @ _SIEVE_PLACES) % SIEVE]
        for index in np.flatnonzero(found).tolist():
            found[index] = is_published(self.reveal(index))
        return np.asarray(found, dtype=np.bool_)

    def reveal(self, index: int) -> bytes:
        """Give one number as ASCII digits: the one place where a number leaves this type.

        Raises:
            ValueError: The row holds no number of 12 to 19 digits, or the column was wiped.
        """
        return self._ascii(index)

    def repeated_in(self, texts: Sequence[str]) -> Flags:
        """Say for each row whether its text repeats the row's own number, however it is written.

        Whatever its brand or check digit: a number may hide in a text in any grouping, with any
        signs between its digits, and backwards.
        """
        found = np.zeros(len(texts), dtype=np.bool_)
        known = self._known()
        for index in _with_many_digits(texts):
            if known[index]:
                found[index] = repeats_number((texts[index],), self._ascii(index))
        return found

    def mixed_with(self, words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Give each row's word mixed with its number, by which rows can be told to repeat one another.

        Of two rows with the same word the results are the same only if the numbers are. A result
        tells nothing of the number to whoever does not know the word.

        Args:
            words: A word a row, in the column's order.
        """
        return np.asarray((self._digits @ _TENS) * _MIXER ^ words, dtype=np.uint64)

    def _ascii(self, index: int) -> bytes:
        length = int(self.lengths[index])
        if not CARD_DIGITS_MIN <= length <= DIGITS_MAX:
            raise ValueError("there is no card number in this row")
        return self._digits[index, DIGITS_MAX - length :].tobytes().translate(_TO_ASCII)

    def wipe(self) -> None:
        """Overwrite the buffer with zeros; the column knows no number afterwards."""
        self._digits[:] = 0
        self.lengths = np.zeros_like(self.lengths)
        self.shapes = np.full_like(self.shapes, Shape.MISSING)
        self._ranges = None

    def __repr__(self) -> str:
        return f"<PanColumn of {len(self)} masked numbers>"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickling, copying and sending to another process all come through here.
        raise TypeError("a column of card numbers is never copied, pickled or sent")

    def _known(self) -> Flags:
        known = (self.lengths >= CARD_DIGITS_MIN) & (self.lengths <= DIGITS_MAX)
        return np.asarray(known, dtype=np.bool_)

    def _brand_ranges(self) -> Positions:
        """Give the place in `_KNOWN` of the range that each number lies in, 0 where there is none."""
        if self._ranges is None:
            first = np.clip(
                DIGITS_MAX - self.lengths.astype(np.intp), 0, DIGITS_MAX - PREFIX_DIGITS
            )
            places = first + DIGITS_MAX * np.arange(len(first))
            digits = self._digits.reshape(-1)
            prefixes = np.zeros(len(first), dtype=np.int32)
            for place in range(PREFIX_DIGITS):
                prefixes = prefixes * 10 + digits[places + place]
            ranges = np.searchsorted(_STARTS, prefixes, side="right") - 1
            ranges[(prefixes > _ENDS[ranges]) | ~self._known()] = 0
            self._ranges = np.asarray(ranges, dtype=np.intp)
        return self._ranges


def _with_many_digits(texts: Sequence[str]) -> Iterator[int]:
    """Give the places of the texts that have as many digits as a number."""
    joined = "\n".join(texts)
    if joined.isascii() and joined.count("\n") < max(len(texts), 1):
        digits = joined.encode().translate(None, _NO_DIGITS)
        # Few columns have any, and then one look is enough.
        if _MANY_ZEROS in digits.translate(_TO_ZEROS):
            counts = enumerate(map(len, digits.split(b"\n")))
            yield from (index for index, count in counts if count >= CARD_DIGITS_MIN)
        return
    for index, text in enumerate(texts):
        if len(text) >= CARD_DIGITS_MIN and (_MANY_DIGITS.search(text) or FIGURES.search(text)):
            yield index


def _shape(text: str) -> tuple[Shape, int]:
    packed = re.sub(r"[ \t-]", "", text)
    if not packed:
        return Shape.MISSING, 0
    if packed.isascii() and packed.isdigit():
        return Shape.DIGITS, len(packed)
    if _ROUNDED.fullmatch(packed):
        return Shape.DAMAGED, 0
    if _MASK.fullmatch(packed):
        return Shape.MASKED, 0
    return Shape.NOT_DIGITS, 0
