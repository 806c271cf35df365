"""Keeps the places of an export's text at which a reading may begin with a known row.

The first reading notes them, a later one begins there and leaves unread what stands before: those
rows are settled. A place tells something only to a reader that cuts the same text into the same
rows, so places carry the digest of whatever that depends on; to another reader they are nothing.
A JSON document has none: what stands in its middle means nothing without its beginning.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from pipeline import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.exports.columns import ReaderOptions

ROWS_BETWEEN: Final = 5_000
"""Places are noted so many rows apart at least: a million rows take four kilobytes."""


class ReadingPoint(NamedTuple):
    """A row's number and the place in the text, in bytes, at which it begins."""

    row: int
    at: int


class PointsMisfit(Exception):
    """No row begins at a place where one should: the places are another text's."""


@dataclass(frozen=True, slots=True)
class ReadingPoints:
    """Places of one export, in order.

    Attributes:
        reader: The digest of how the text was cut into rows (`digest_of`).
        points: Where rows begin.
    """

    reader: str
    points: tuple[ReadingPoint, ...] = ()

    def as_text(self) -> str | None:
        """Give them as JSON, each as its distance from the one before; None if there are none."""
        if not self.points:
            return None
        before = (ReadingPoint(0, 0), *self.points)
        steps = [(b.row - a.row, b.at - a.at) for a, b in zip(before, self.points, strict=False)]
        return orjson.dumps([self.reader, *(n for step in steps for n in step)]).decode()

    @classmethod
    def of_text(cls, text: str | None) -> ReadingPoints:
        """Read what `as_text` wrote."""
        if text is None:
            return cls("")
        reader, *steps = orjson.loads(text)
        points, last = [], ReadingPoint(0, 0)
        for rows, size in zip(steps[::2], steps[1::2], strict=True):
            last = ReadingPoint(last.row + rows, last.at + size)
            points.append(last)
        return cls(reader, tuple(points))

    def fitting(self, options: ReaderOptions) -> tuple[ReadingPoint, ...]:
        """Give the places to a reader that cuts texts as the one that noted them; none to others."""
        return self.points if self.reader == digest_of(options) else ()


@dataclass(frozen=True, slots=True)
class NeededRows:
    """Says which rows of an export a reading is for, as it goes on.

    Attributes:
        first_from: Gives the first row from that one on that is needed; None if there is none.
        points: Where the reading may begin again.
    """

    first_from: Callable[[int], int | None]
    points: tuple[ReadingPoint, ...] = ()

    def point_between(self, after: int, row: int) -> ReadingPoint | None:
        """Give the last place behind the row `after` and not behind the row `row`."""
        place = bisect_right(self.points, row, key=lambda point: point.row)
        found = self.points[place - 1] if place else None
        return found if found is not None and found.row > after else None


def digest_of(options: ReaderOptions) -> str:
    """Digest what decides where a row of an export begins and which number it has."""
    told = [
        *(__version__, options.format, options.records, options.encoding, options.delimiter),
        *(options.quoting, options.multiline, options.header, options.row_bytes_max),
        # The preset of an export that turns out to be JSON.
        None if options.as_json is None else digest_of(options.as_json),
    ]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()
