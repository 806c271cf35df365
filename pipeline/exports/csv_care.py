"""Reads CSV records from lines where quotes, bad lines or both need care.

Two stray quotes make one record of the rows between them, with the first row's id and the last
row's card. Such a record is told by its looks (`_is_suspect`), and then each of its lines is
malformed.

A record that could not be read may have had more lines than its first. Those that follow are in
doubt: what stands at their beginning may be the end of one of its fields, and would be taken for
the id. So a row counts again only where it is written without a quote inside a plain field.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.config.policies import Multiline
from pipeline.exports.records import (
    CR_ENDS,
    IN_DOUBT,
    MISQUOTED,
    SWALLOWED,
    Record,
    Unread,
    of_width,
)

if TYPE_CHECKING:
    from pipeline.exports.csv_dialect import Dialect


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line without its line feed: its text, or why it has none, and its bytes."""

    text: str
    unread: Unread | None
    size: int


def fitted(fields: list[str], width: int) -> Record:
    """Give a record as wide as the header, or with one empty field more at its end."""
    if len(fields) == width or (len(fields) == width + 1 and not fields[-1].strip()):
        return fields
    return of_width(len(fields), width)


def is_blank(fields: list[str]) -> bool:
    """Tell a line of nothing: blanks, or delimiters with nothing between them."""
    return not any(field.strip() for field in fields)


_MANY_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){11}")
"""A card number, whether or not its sum and its length are right."""


class _Unreadable(Exception):
    """A record ran into a line that cannot belong to it."""


class CarefulParser:
    """Reads records from lines where quotes, bad lines or both need care."""

    def __init__(self, lines: list[Line], dialect: Dialect, *, in_doubt: bool) -> None:
        self.in_doubt = in_doubt
        self._lines = lines
        self._dialect = dialect
        self._start = 0
        self._next = 0
        self._bytes = 0
        self._ran_dry = False

    def unread(self) -> list[Line]:
        """Give the lines of a record whose end has not come yet."""
        return self._lines[self._start :]

    def records(self, *, last: bool) -> list[Record]:
        """Give the records of the lines, the last unfinished one only if these lines end it."""
        records: list[Record] = []
        while self._start < len(self._lines):
            self._next, self._bytes, self._ran_dry = self._start, 0, False
            try:
                self._read_on(records)
            except (csv.Error, _Unreadable):
                if self._ran_dry and not last:
                    break
                records += _bad(self._lines[self._start])
                self._start += 1
                self.in_doubt = True
        return records

    def _read_on(self, records: list[Record]) -> None:
        dialect = self._dialect
        for fields in dialect.fields(self):
            lines = self._lines[self._start : self._next]
            if len(lines) > 1:
                records += self._over_lines(fields, lines)
            elif not is_blank(fields):
                records.append(self._of_one_line(fields, lines[0].text))
            self._start, self._bytes = self._next, 0

    def _of_one_line(self, fields: list[str], text: str) -> Record:
        record = fitted(fields, self._dialect.width)
        if self.in_doubt and not isinstance(record, str):
            if not self._dialect.is_clean(text):
                return IN_DOUBT
            self.in_doubt = False
        return record

    def _over_lines(self, fields: list[str], lines: list[Line]) -> list[Record]:
        """Judge a record that spans lines.

        Raises:
            _Unreadable: It is none: its first line is bad, and the others may be good.
        """
        record = fitted(fields, self._dialect.width)
        if isinstance(record, str) or self._dialect.multiline is Multiline.NEVER:
            raise _Unreadable
        texts = [line.text for line in lines]
        # Asked first: a doubt must never make a row of a line that would be none without it.
        if self._dialect.multiline is Multiline.GUARDED and _is_suspect(
            fields, texts, self._dialect
        ):
            self.in_doubt = True
            return [SWALLOWED for text in texts if text.strip()]
        if self.in_doubt and not self._dialect.is_clean("\n".join(texts)):
            raise _Unreadable
        self.in_doubt = False
        return [record]

    def __iter__(self) -> CarefulParser:
        return self

    def __next__(self) -> str:
        if self._next == len(self._lines):
            self._ran_dry = True
            raise StopIteration
        line = self._lines[self._next]
        self._bytes += line.size
        too_long = self._next > self._start and self._bytes > self._dialect.record_bytes_max
        if line.unread is not None or too_long or self._is_too_wide():
            raise _Unreadable
        self._next += 1
        return line.text + "\n"

    def _is_too_wide(self) -> bool:
        """Say whether the record so far has too many fields for the header, whatever may follow.

        Asked when its lines have doubled, so that it costs little; without it, lines that each
        open a quote could make every one of them read to the record's limit in vain.
        """
        taken = self._next - self._start
        if taken <= 1 or taken & (taken - 1):
            return False
        texts = [line.text + "\n" for line in self._lines[self._start : self._next]]
        fields = next(self._dialect.fields(texts, strict=False))
        width = self._dialect.width
        return len(fields) > width and isinstance(fitted(fields, width), str)


def _bad(line: Line) -> list[Record]:
    """Give what one bad line counts for: an old Mac's rows may stand in it, each ended by a CR."""
    if line.unread is not None:
        return [line.unread]
    if "\r" not in line.text.rstrip("\r"):
        return [MISQUOTED]
    rows = [row for row in line.text.split("\r") if row.strip()]
    return [CR_ENDS] * max(len(rows), 1)


def _is_suspect(fields: list[str], lines: list[str], dialect: Dialect) -> bool:
    """Tell a record that looks like several rows which stray quotes have joined.

    Quotes aside, a line in the middle then is as wide as the header, or the first and the last
    are, one of which may have lost a delimiter; or a field over several lines holds a card number,
    or as many digits as one has, which no honest note does.
    """
    widths = [line.count(dialect.delimiter) + 1 for line in lines]
    if dialect.width in widths[1:-1] or widths[0] + widths[-1] >= 2 * dialect.width - 1:
        return True
    alone = (next(dialect.fields([line], strict=False), []) for line in lines[1:-1])
    if any(len(inner) == dialect.width for inner in alone):
        return True
    over_lines = [field for field in fields if "\n" in field]
    return any(map(_MANY_DIGITS.search, over_lines)) or any(texts_containing_pan(over_lines))
