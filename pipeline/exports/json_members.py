"""Cuts the members of lists out of a JSON document, many at a time, at the commas between them.

A parser that reads a document piece by piece costs ten times what one costs that reads a whole text.
So the members of the lists at one depth are taken out, and a text that names them is left in their
place. The document is well-formed exactly where what is left is, and each of the lists that were
taken out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.exports.json_signs import COLON, COMMA, LIST, OBJECT, Signs, SignScanner

if TYPE_CHECKING:
    import numpy.typing as npt

    Places = npt.NDArray[np.intp]

_NEVER: Final = -1
_DIGITS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Members:
    """Consecutive members of a list, or lines, as text that a parser has still to look at.

    Attributes:
        text: The values in UTF-8, with commas between them.
        colons: How many keys stand in them.
        objects: How many objects.
        depth: How deep objects and lists stand in one another.
    """

    text: bytes
    colons: int
    objects: int
    depth: int


class MemberCutter:
    """Takes the members of lists out of one block of a document after another.

    Args:
        depth: In how many objects and lists the members stand; None leaves all in their place.
    """

    def __init__(self, depth: int | None) -> None:
        self._depth = _NEVER if depth is None else depth
        self._scanner = SignScanner()
        self._in_list = False
        self._cut = 0
        self._texts: list[bytes] = []
        self._colons = self._objects = self._deepest = 0
        self.deepest = 0
        """How deep objects and lists stood in one another in the latest block."""

    def cut(self, block: bytes) -> tuple[bytes, dict[str, Members]]:
        """Give what is left of a block, and what was taken out by the texts that name it there."""
        signs = self._scanner.scan(block)
        self.deepest = int(signs.depths.max(initial=0))
        if self._depth == _NEVER:
            return block, {}
        left: list[bytes] = []
        taken: dict[str, Members] = {}
        start = first = 0
        for at in self._ends_of_lists(signs).tolist():
            place = int(signs.places[at])
            if self._in_list:
                self._wait(block[start:place], signs, first, at)
                left.append(self._named(taken))
                start, first, self._in_list = place, at, False
            elif signs.kinds[at] == LIST:
                left.append(block[start : place + 1])
                start, first, self._in_list = place + 1, at + 1, True
        if not self._in_list:
            left.append(block[start:])
            return b"".join(left), taken
        between = (signs.kinds[first:] == COMMA) & (signs.depths[first:] == self._depth)
        commas = np.flatnonzero(between)
        if len(commas):
            at = first + int(commas[-1])
            place = int(signs.places[at])
            self._wait(block[start:place], signs, first, at)
            left += (self._named(taken), b",")
            start, first = place + 1, at + 1
        self._wait(block[start:], signs, first, len(signs.kinds))
        return b"".join(left), taken

    def has_named(self, value: object) -> bool:
        """Say whether a value is a text that stands for members which were taken out."""
        return isinstance(value, str) and value[:1] == "\0" and 0 < _number(value[1:]) <= self._cut

    def _ends_of_lists(self, signs: Signs) -> Places:
        """Give the signs between which members of one list, or of one object, stand at the depth."""
        if self._in_list and int(signs.depths.min(initial=self._depth)) >= self._depth:
            return np.empty(0, dtype=np.intp)
        begins = signs.opening() & (signs.depths == self._depth)
        ends = signs.closing() & (signs.depths == self._depth - 1)
        return np.flatnonzero(begins | ends)

    def _wait(self, text: bytes, signs: Signs, first: int, last: int) -> None:
        """Keep a text, with these signs in it, until a member ends."""
        kinds = signs.kinds[first:last]
        self._texts.append(text)
        self._colons += int(np.count_nonzero(kinds == COLON))
        self._objects += int(np.count_nonzero(kinds == OBJECT))
        deepest = int(signs.depths[first:last].max(initial=self._depth)) - self._depth
        self._deepest = max(self._deepest, deepest)

    def _named(self, taken: dict[str, Members]) -> bytes:
        """Take what waits, and give what is to stand in its place."""
        members = Members(b"".join(self._texts), self._colons, self._objects, self._deepest)
        self._texts = []
        self._colons = self._objects = self._deepest = 0
        if not members.text.strip():
            # No member at all: whether there has to be one the rest tells.
            return members.text
        self._cut += 1
        taken[f"\0{self._cut}"] = members
        return b'"\\u0000%d"' % self._cut


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS_MAX else 0
