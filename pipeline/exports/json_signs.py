"""Finds the signs that part JSON text, outside its strings, in blocks that are cut anywhere.

A quote begins or ends a string unless an odd number of backslashes stands before it, and every other
sign counts where an even number of such quotes stands before it. So a few looks at a whole block
find them all. What is found is right for JSON that is well-formed; of any other text nothing of it
may be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Flags = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.intp]

COMMA: Final = ord(",")
COLON: Final = ord(":")
OBJECT: Final = ord("{")
LIST: Final = ord("[")
LINE_FEED: Final = ord("\n")
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_FOLD: Final = np.uint8(ord("{") ^ ord("["))
"""The one bit by which the brackets of objects and lists differ (ASCII)."""
_OPENS: Final = ord("{")
_CLOSES: Final = ord("}")


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of a block, in order.

    Attributes:
        places: Where they stand in the block.
        kinds: Their bytes: brackets, commas and colons, and line feeds where those are wanted.
        depths: In how many objects and lists what follows each of them stands.
    """

    places: Places
    kinds: Bytes
    depths: Places

    def opening(self) -> Flags:
        """Say which of them begin an object or a list."""
        return np.asarray((self.kinds | _FOLD) == _OPENS, dtype=np.bool_)

    def closing(self) -> Flags:
        """Say which of them end one."""
        return np.asarray((self.kinds | _FOLD) == _CLOSES, dtype=np.bool_)


class SignScanner:
    """Finds the signs of one block after another.

    Args:
        of_lines: Find line feeds, too.
    """

    def __init__(self, *, of_lines: bool = False) -> None:
        self._of_lines = of_lines
        self._in_string = False
        self._is_escaped = False
        self._depth = 0

    def scan(self, block: bytes) -> Signs:
        """Give the signs of the next block."""
        signs = np.frombuffer(block, dtype=np.uint8)
        folded = signs | _FOLD
        marked = (signs == _QUOTE) | (signs == COMMA) | (signs == COLON)
        marked |= (folded == _OPENS) | (folded == _CLOSES)
        if self._of_lines:
            marked |= signs == LINE_FEED
        places = np.flatnonzero(marked)
        kinds = signs[places]
        quotes = kinds == _QUOTE
        if self._is_escaped or b"\\" in block:
            quotes &= ~self._escaped(signs)[places]
        inside = np.logical_xor.accumulate(quotes) ^ self._in_string
        outside = ~(inside | quotes)
        if len(inside):
            self._in_string = bool(inside[-1])
        places, kinds = places[outside], kinds[outside]
        folded = kinds | _FOLD
        steps = (folded == _OPENS).astype(np.intp) - (folded == _CLOSES)
        depths = np.cumsum(steps) + self._depth
        if len(depths):
            self._depth = int(depths[-1])
        return Signs(places, kinds, depths)

    def _escaped(self, signs: Bytes) -> Flags:
        """Say which bytes have an odd number of backslashes before them, and the one behind the block."""
        escaped = np.zeros(len(signs) + 1, dtype=np.bool_)
        escaped[0] = self._is_escaped
        slashes = np.flatnonzero(signs == _BACKSLASH)
        if len(slashes):
            begins = np.diff(slashes, prepend=-2) > 1
            firsts = np.maximum.accumulate(np.where(begins, slashes, 0))
            # Those at the block's beginning may go on from the block before.
            counts = slashes - firsts + 1 + ((firsts == 0) & self._is_escaped)
            escaped[slashes[counts % 2 == 1] + 1] = True
        self._is_escaped = bool(escaped[-1])
        return escaped
