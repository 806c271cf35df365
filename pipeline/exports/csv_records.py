"""Cuts CSV lines into records: a list of fields each, or the code of what is wrong with it.

RFC 4180 with any delimiter, and the other ways of quoting that the settings name. A quoted field
may span lines as long as the record then has the header's width and stays within its bytes. A
record that spans lines and does not end so counts as ONE bad line, its first, and reading goes on
at the next line: an unclosed quote costs a row, not the rest of the export.

Where a record ends is never guessed (`csv_care`). Blank lines are no rows, lines of nothing but
delimiters neither. A line with a control character (NUL included) is malformed.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.exports.csv_care import CarefulParser, Line, fitted, is_blank
from pipeline.exports.plain_table import plain_table
from pipeline.exports.records import (
    TOO_LONG,
    UNDECODABLE,
    WITH_CONTROLS,
    Record,
    Records,
    of_width,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.exports.csv_dialect import Dialect
    from pipeline.exports.text_lines import LineBatches

    _Read: TypeAlias = "list[Record] | Records"

_CONTROLS: Final = bytes(set(range(ord(" "))) - set(b"\t\n\r")) + b"\x7f"
_CONTROL: Final = re.compile(rb"[" + re.escape(_CONTROLS) + rb"]")
_DELIMITING: Final = frozenset(_CONTROLS.decode("ascii"))
"""Control characters, each of which may be a delimiter (Hive's is U+0001)."""


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


def csv_records(batches: LineBatches, dialect: Dialect) -> Iterator[Records]:
    """Give the records of the lines after the header, in order, some at a time.

    Where the first two rows end in a delimiter that the header does not have, all rows have to. One
    row that has it alone got it elsewhere: its fields are shifted, and its last one was empty.
    """
    records = _records(batches, dialect)
    first: list[tuple[_Read, int | None]] = []
    widths: list[int] = []
    for some, at in records:
        first.append((some, at))
        widths += _first_widths(some)
        if len(widths) > 1:
            break
    is_longer = bool(widths) and min(widths[:2]) > dialect.width
    for some, at in chain(first, records):
        yield _of_one_width(some, at, dialect.width, is_longer=is_longer)


def _first_widths(read: _Read) -> list[int]:
    if isinstance(read, Records):
        return [len(read.columns)] * min(read.count, 2)
    return [len(record) for record in read if not isinstance(record, str)][:2]


def _of_one_width(read: _Read, at: int | None, width: int, *, is_longer: bool) -> Records:
    wanted = width + is_longer
    if isinstance(read, Records):
        if len(read.columns) == wanted:
            return replace(read, columns=read.columns[:width], begins_at=at)
        read = [list(record) for record in zip(*read.columns, strict=True)]
    return Records.of([one for record in read for one in _cut(record, width, wanted)], at)


def _cut(record: Record, width: int, wanted: int) -> Sequence[Record]:
    """Give a record of the wanted width as the header has it; of another, each line is malformed."""
    if isinstance(record, str):
        return (record,)
    if len(record) == wanted:
        return (record if wanted == width else record[:width],)
    lines = "".join(record).split("\n")
    blank = sum(not line.strip() for line in lines[1:-1])
    return [of_width(len(record), wanted)] * (len(lines) - blank)


def _records(batches: LineBatches, dialect: Dialect) -> Iterator[tuple[_Read, int | None]]:
    """Give records as they were read, and where a reading may begin with them."""
    waiting: list[Line] = []
    in_doubt = False
    for batch in batches:
        if batches.is_after_gap:
            waiting, in_doubt = [], False
        at = None if waiting or in_doubt else batches.at
        if batch is None:
            # No record goes on through a line that is longer than a record may be.
            parser = CarefulParser(waiting, dialect, in_doubt=in_doubt)
            yield [*parser.records(last=True), TOO_LONG], at
            waiting, in_doubt = [], True
            continue
        if not waiting and not in_doubt:
            records = _single_lines(batch, dialect)
            if records is not None:
                yield records, at
                continue
        lines = waiting + read_lines(batch, dialect.encoding, allowed=dialect.delimiter)
        parser = CarefulParser(lines, dialect, in_doubt=in_doubt)
        yield parser.records(last=False), at
        waiting, in_doubt = parser.unread(), parser.in_doubt
    yield CarefulParser(waiting, dialect, in_doubt=in_doubt).records(last=True), None


def _single_lines(batch: bytes, dialect: Dialect) -> _Read | None:
    """Read a batch in which every line is a record, or give None when it is not so."""
    if not batch.strip(b"\r\n"):
        return []
    text = decoded(batch, dialect.encoding, allowed=dialect.delimiter)
    if text is None:
        return None
    return plain_table(batch, text, dialect) or _rows(text.split("\n")[:-1], dialect)


def _rows(lines: list[str], dialect: Dialect) -> list[Record] | None:
    """Read lines of which each is a record, quoted or not."""
    try:
        rows = list(dialect.fields(lines))
    except csv.Error:
        return None
    if len(rows) != len(lines):
        return None
    width = dialect.width
    if all(len(row) == width and row[0] and not row[0].isspace() for row in rows):
        return list(rows)
    return [fitted(row, width) for row in rows if not is_blank(row)]
