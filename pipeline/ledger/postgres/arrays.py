"""Packs numbers and texts into the arrays that PostgreSQL takes in its binary form.

The driver packs any array, and asks of each value what it is; here a column's kind is known, and
the thread that packs it holds the interpreter lock that the event loop waits for. The form is that
of the server's `array_recv`: dimensions, a flag for nulls, the kind of the values, their number,
the first index, then each value with its length before it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, pack
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BIGINT, INTEGER, TEXT = 20, 23, 25
"""Kinds of values, by the numbers that every server has for them."""

_HEAD: Final = Struct(">iiIii")
_EMPTY: Final = Struct(">iiI")
_LENGTH: Final = Struct(">i")
_BIGINT: Final = Struct(">q")
_NULL: Final = _LENGTH.pack(-1)
_MAY_HOLD_NULLS: Final = 1
_WORDS_KEPT: Final = 1024


def bigint(number: int) -> bytes:
    """Pack one number of 64 bits."""
    return _BIGINT.pack(number)


def bigints(numbers: Sequence[int]) -> bytes:
    """Pack numbers of 64 bits."""
    return _fixed(BIGINT, "iq", 8, numbers)


def integers(numbers: Sequence[int]) -> bytes:
    """Pack numbers of 32 bits."""
    return _fixed(INTEGER, "ii", 4, numbers)


def texts(values: Sequence[str | None]) -> bytes:
    """Pack texts that are all different, such as ids."""
    return _texts(values, _text)


def words(values: Sequence[str | None]) -> bytes:
    """Pack texts of which there are few, such as states and brands."""
    return _texts(values, _word)


def _fixed(kind: int, form: str, size: int, numbers: Sequence[int]) -> bytes:
    count = len(numbers)
    if not count:
        return _EMPTY.pack(0, 0, kind)
    sized = [size] * (2 * count)
    sized[1::2] = numbers
    return _HEAD.pack(1, 0, kind, count, 1) + pack(f">{form * count}", *sized)


def _texts(values: Sequence[str | None], packed: Callable[[str | None], bytes]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, TEXT)
    head = _HEAD.pack(1, _MAY_HOLD_NULLS, TEXT, len(values), 1)
    return head + b"".join(map(packed, values))


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    raw = value.encode()
    return _LENGTH.pack(len(raw)) + raw


_word = lru_cache(_WORDS_KEPT)(_text)
