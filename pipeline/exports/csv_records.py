"""Cuts CSV lines into records: a list of fields each, or the code of what is wrong with it.

RFC 4180 with any delimiter, and the other ways of quoting that the settings name. A quoted field
may span lines as long as the record then has the header's width and stays within its bytes. A
record that spans lines and does not end so counts as ONE bad line, its first, and reading goes on
at the next line: an unclosed quote costs a row, not the rest of the export.

Two stray quotes are worse: they make one record of the rows between them, with the first row's id
and the last row's card. Such a record is told by its looks (`_is_suspect`), and then each of its
lines is malformed. Where a record ends is never guessed.

Blank lines are no rows, lines of nothing but delimiters neither. One empty field too many at the
end of a row does not count. A line with a control character (NUL included) is malformed.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.config.policies import Multiline, Quoting
from pipeline.exports.records import (
    CR_ENDS,
    MISQUOTED,
    SWALLOWED,
    TOO_LONG,
    UNDECODABLE,
    WITH_CONTROLS,
    Record,
    Unread,
    of_width,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CONTROLS: Final = bytes(set(range(ord(" "))) - set(b"\t\n\r")) + b"\x7f"
_CONTROL: Final = re.compile(rb"[" + re.escape(_CONTROLS) + rb"]")
_DELIMITING: Final = frozenset(_CONTROLS.decode("ascii"))
"""Control characters, each of which may be a delimiter (Hive's is U+0001)."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How records are written: the delimiter, the fields of each, their limits and quotes."""

    delimiter: str
    encoding: str
    width: int
    record_bytes_max: int
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED

    def fields(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        """Give the fields of each record of these lines."""
        return read_fields(lines, self.delimiter, self.quoting, strict=strict)


def read_fields(
    lines: Iterable[str], delimiter: str, quoting: Quoting, *, strict: bool = True
) -> Iterator[list[str]]:
    """Give the fields of each record of some lines.

    Raises:
        csv.Error: While iterating: a line is no record; the message repeats nothing of it.
    """
    # A blank before a quote would make the quote a part of the value.
    skips = delimiter != " "
    if quoting is Quoting.NONE:
        return csv.reader(
            lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None, strict=strict
        )
    if quoting is Quoting.BACKSLASH:
        sign = re.escape(delimiter)
        whole = re.compile(rf"(?:^|(?<={sign})) *\\N *(?={sign}|\r?\n?$)")
        kept = (whole.sub(r"\\\\N", line) for line in lines)
        return csv.reader(
            kept, delimiter=delimiter, escapechar="\\", skipinitialspace=skips, strict=strict
        )
    quote = "'" if quoting is Quoting.SINGLE else '"'
    return csv.reader(
        lines, delimiter=delimiter, quotechar=quote, skipinitialspace=skips, strict=strict
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line without its line feed: its text, or why it has none, and its bytes."""

    text: str
    unread: Unread | None
    size: int


def read_lines(batch: bytes, encoding: str, *, allowed: str = "") -> list[Line]:
    """Decode lines one by one, so that a bad one spoils no other.

    Args:
        batch: Whole lines.
        encoding: What they are in.
        allowed: A control character that may stand in them: the delimiter, perhaps.
    """
    lines = []
    taken_out = allowed.encode() if allowed in _DELIMITING else b""
    for raw in batch[:-1].split(b"\n"):
        text, unread = "", None
        looked_at = raw.replace(taken_out, b"") if taken_out else raw
        if _CONTROL.search(looked_at):
            unread = WITH_CONTROLS
        else:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                unread = UNDECODABLE
        lines.append(Line(text, unread, len(raw) + 1))
    return lines


def decoded(batch: bytes, encoding: str, *, allowed: str = "") -> str | None:
    """Give a batch's text, or None when some line of it is not plain text."""
    forbidden = _CONTROLS
    if allowed in _DELIMITING:
        forbidden = _CONTROLS.replace(allowed.encode(), b"")
    if len(batch.translate(None, forbidden)) != len(batch):
        return None
    try:
        return batch.decode(encoding)
    except UnicodeDecodeError:
        return None


def csv_records(batches: Iterator[bytes | None], dialect: Dialect) -> Iterator[list[Record]]:
    """Give the records of the lines after the header, in order, some at a time."""
    waiting: list[Line] = []
    for batch in batches:
        if batch is None:
            # No record goes on through a line that is longer than a record may be.
            yield [*_Parser(waiting, dialect).records(last=True), TOO_LONG]
            waiting = []
            continue
        if not waiting:
            records = _single_lines(batch, dialect)
            if records is not None:
                yield records
                continue
        parser = _Parser(
            waiting + read_lines(batch, dialect.encoding, allowed=dialect.delimiter), dialect
        )
        yield parser.records(last=False)
        waiting = parser.unread()
    yield _Parser(waiting, dialect).records(last=True)


def _single_lines(batch: bytes, dialect: Dialect) -> list[Record] | None:
    """Read a batch in which every line is a record, or give None when it is not so."""
    if not batch.strip(b"\r\n"):
        return []
    text = decoded(batch, dialect.encoding, allowed=dialect.delimiter)
    if text is None:
        return None
    lines = text.split("\n")
    lines.pop()
    try:
        rows = list(dialect.fields(lines))
    except csv.Error:
        return None
    if len(rows) != len(lines):
        return None
    width = dialect.width
    if all(len(row) == width and row[0] for row in rows):
        return list(rows)
    return [_fitted(row, width) for row in rows if not _blank(row)]


def _fitted(fields: list[str], width: int) -> Record:
    """Give a record as wide as the header; one empty field too many at its end does not count."""
    if len(fields) == width:
        return fields
    if len(fields) == width + 1 and not fields[-1].strip():
        return fields[:-1]
    return of_width(len(fields), width)


def _blank(fields: list[str]) -> bool:
    """Tell a line of nothing: blanks, or delimiters with nothing between them."""
    return not any(field.strip() for field in fields)


class _Unreadable(Exception):
    """A record ran into a line that cannot belong to it."""


class _Parser:
    """Reads records from lines where quotes, bad lines or both need care."""

    def __init__(self, lines: list[Line], dialect: Dialect) -> None:
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
        return records

    def _read_on(self, records: list[Record]) -> None:
        dialect = self._dialect
        for fields in dialect.fields(self):
            lines = self._lines[self._start : self._next]
            if len(lines) > 1:
                records += self._over_lines(fields, lines)
            elif not _blank(fields):
                records.append(_fitted(fields, dialect.width))
            self._start, self._bytes = self._next, 0

    def _over_lines(self, fields: list[str], lines: list[Line]) -> list[Record]:
        """Judge a record that spans lines.

        Raises:
            _Unreadable: It is none: its first line is bad, and the others may be good.
        """
        record = _fitted(fields, self._dialect.width)
        if isinstance(record, str) or self._dialect.multiline is Multiline.NEVER:
            raise _Unreadable
        if self._dialect.multiline is Multiline.GUARDED and _is_suspect(
            fields, [line.text for line in lines], self._dialect
        ):
            return [SWALLOWED for line in lines if line.text.strip()]
        return [record]

    def __iter__(self) -> _Parser:
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
        """Say whether the record so far has more fields than the header, whatever may follow.

        Asked when its lines have doubled, so that it costs little; without it, lines that each
        open a quote could make every one of them read to the record's limit in vain.
        """
        taken = self._next - self._start
        if taken <= 1 or taken & (taken - 1):
            return False
        texts = [line.text + "\n" for line in self._lines[self._start : self._next]]
        fields = next(self._dialect.fields(texts, strict=False))
        return len(fields) > self._dialect.width


def _bad(line: Line) -> list[Record]:
    """Give what one bad line counts for: an old Mac's rows may stand in it, each ended by a CR."""
    if line.unread is not None:
        return [line.unread]
    if "\r" not in line.text:
        return [MISQUOTED]
    rows = [row for row in line.text.split("\r") if row.strip()]
    return [CR_ENDS] * max(len(rows), 1)


def _is_suspect(fields: list[str], lines: list[str], dialect: Dialect) -> bool:
    """Tell a record that looks like several rows which stray quotes have joined.

    Quotes aside, a line in the middle then is as wide as the header, or the first and the last
    are; or a field over several lines holds a card number, which no honest note does.
    """
    widths = [line.count(dialect.delimiter) + 1 for line in lines]
    if dialect.width in widths[1:-1] or min(widths[0], widths[-1]) >= dialect.width:
        return True
    alone = (next(dialect.fields([line], strict=False), []) for line in lines[1:-1])
    if any(len(inner) == dialect.width for inner in alone):
        return True
    return any(texts_containing_pan([field for field in fields if "\n" in field]))
