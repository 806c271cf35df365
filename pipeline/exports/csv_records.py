"""Cuts CSV lines into records: a list of fields each, or the code of what is wrong with it.

RFC 4180 with any delimiter. A quoted field may span lines as long as the record then has the
header's width and stays within its bytes. A record that spans lines and does not end so counts as
ONE bad line, its first, and reading goes on at the next line: an unclosed quote costs a row, not
the rest of the export. Blank lines are no rows. A line with a control character (NUL included) is
malformed.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MALFORMED: Final = "malformed_row"
UNDECODABLE: Final = "undecodable_text"
TOO_LONG: Final = "row_too_long"

Record: TypeAlias = "list[str] | str"

_CONTROLS: Final = bytes(set(range(ord(" "))) - set(b"\t\n\r")) + b"\x7f"
_CONTROL: Final = re.compile(rb"[" + re.escape(_CONTROLS) + rb"]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How records are written: the delimiter, the fields of each, and their limits."""

    delimiter: str
    encoding: str
    width: int
    record_bytes_max: int


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line without its line feed: its text, or a code, and its bytes."""

    text: str
    code: str | None
    size: int


def read_lines(batch: bytes, encoding: str) -> list[Line]:
    """Decode lines one by one, so that a bad one spoils no other."""
    lines = []
    for raw in batch[:-1].split(b"\n"):
        text, code = "", None
        if _CONTROL.search(raw):
            code = MALFORMED
        else:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                code = UNDECODABLE
        lines.append(Line(text, code, len(raw) + 1))
    return lines


def decoded(batch: bytes, encoding: str) -> str | None:
    """Give a batch's text, or None when some line of it is not plain text."""
    if len(batch.translate(None, _CONTROLS)) != len(batch):
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
        parser = _Parser(waiting + read_lines(batch, dialect.encoding), dialect)
        yield parser.records(last=False)
        waiting = parser.unread()
    yield _Parser(waiting, dialect).records(last=True)


def _single_lines(batch: bytes, dialect: Dialect) -> list[Record] | None:
    """Read a batch in which every line is a record, or give None when it is not so."""
    if not batch.strip(b"\r\n"):
        return []
    text = decoded(batch, dialect.encoding)
    if text is None:
        return None
    lines = text.split("\n")
    lines.pop()
    reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    try:
        rows = list(reader)
    except csv.Error:
        return None
    if len(rows) != len(lines):
        return None
    width = dialect.width
    if all(len(row) == width for row in rows):
        return list(rows)
    return [
        row if len(row) == width else MALFORMED for row in rows if len(row) > 1 or not _blank(row)
    ]


def _blank(fields: list[str]) -> bool:
    return not fields or (len(fields) == 1 and not fields[0].strip())


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
                records.append(self._lines[self._start].code or MALFORMED)
                self._start += 1
        return records

    def _read_on(self, records: list[Record]) -> None:
        dialect = self._dialect
        for fields in csv.reader(self, delimiter=dialect.delimiter, strict=True):
            if len(fields) == dialect.width:
                records.append(fields)
            elif self._next - self._start > 1:
                raise _Unreadable
            elif not _blank(fields):
                records.append(MALFORMED)
            self._start, self._bytes = self._next, 0

    def __iter__(self) -> _Parser:
        return self

    def __next__(self) -> str:
        if self._next == len(self._lines):
            self._ran_dry = True
            raise StopIteration
        line = self._lines[self._next]
        self._bytes += line.size
        too_long = self._next > self._start and self._bytes > self._dialect.record_bytes_max
        if line.code is not None or too_long or self._is_too_wide():
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
        fields = next(csv.reader(texts, delimiter=self._dialect.delimiter))
        return len(fields) > self._dialect.width
