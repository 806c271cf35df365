"""Reads lines of CSV that hold nothing but fields between delimiters: no quote, one width.

Most exports are written so from their first line to their last, and then fields can be cut at every
delimiter and line end at once. Whatever is not plainly so is left to the parser of `csv_records`,
which gives the same records for what is read here, more slowly.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.config.policies import Quoting
from pipeline.exports.records import Records

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.exports.csv_dialect import Dialect

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.intp]

_LINE_FEED: Final = ord("\n")
_BLANK: Final = ord(" ")
_TAB: Final = ord("\t")
_ASCII_MAX: Final = 127
_SPECIAL: Final = {
    Quoting.RFC4180: ('"',),
    Quoting.SINGLE: ("'",),
    Quoting.BACKSLASH: ('"', "\\"),
    Quoting.NONE: (),
}
"""Signs that mean more than themselves, by the way of quoting."""


def plain_table(batch: bytes, text: str, dialect: Dialect) -> Records | None:
    """Read lines that are plainly one record each, or give None where they may not be.

    Args:
        batch: Whole lines, without control characters.
        text: The same, decoded.
        dialect: How records are written.

    Returns:
        Records of one width: that of the header or, if the last field of each is empty, one more.
        In each the first field is more than blanks, so that none is a row of nothing.
    """
    found = _unquoted(batch, text, dialect)
    if found is None:
        return None
    batch, text = found
    signs = np.frombuffer(batch, dtype=np.uint8)
    delimiter = ord(dialect.delimiter)
    ends = np.flatnonzero((signs == delimiter) | (signs == _LINE_FEED))
    width = _width(signs, ends, dialect)
    may_be_blank, skips = _at_edges(signs, ends, delimiter)
    if not width or (skips and dialect.quoting is not Quoting.NONE):
        return None
    fields = text.replace("\n", dialect.delimiter).split(dialect.delimiter)
    fields.pop()
    columns = [fields[place::width] for place in range(width)]
    is_plain = (
        # In some encodings a letter's second byte is as a delimiter's.
        len(fields) == len(ends)
        and all(columns[0])
        and not (may_be_blank and any(map(str.isspace, columns[0])))
        and (width == dialect.width or not any(map(str.strip, columns[-1])))
    )
    return Records(columns, len(columns[0]), are_stripped=not may_be_blank) if is_plain else None


def _unquoted(batch: bytes, text: str, dialect: Dialect) -> tuple[bytes, str] | None:
    """Give lines without CR at their ends; None where a sign in them means more than itself."""
    special = any(sign in text for sign in _SPECIAL[dialect.quoting])
    if special or len(dialect.delimiter.encode()) != 1 or dialect.delimiter in "\r\n":
        return None
    if "\r" not in text:
        return batch, text
    if text.count("\r") != text.count("\r\n"):
        return None
    return batch.replace(b"\r\n", b"\n"), text.replace("\r\n", "\n")


def _width(signs: Bytes, ends: Places, dialect: Dialect) -> int:
    """Give how many fields every line has; 0 where lines differ or have another number of them."""
    kinds = signs[ends]
    width = int(np.argmax(kinds == _LINE_FEED)) + 1
    if width not in {dialect.width, dialect.width + 1} or len(kinds) % width:
        return 0
    lines = kinds.reshape(-1, width)
    is_even = (lines[:, -1] == _LINE_FEED).all() and (lines[:, :-1] != _LINE_FEED).all()
    longest = int(np.diff(ends[width - 1 :: width], prepend=-1).max())
    return width if is_even and longest <= csv.field_size_limit() else 0


def _at_edges(signs: Bytes, ends: Places, delimiter: int) -> tuple[bool, bool]:
    """Say whether a field may begin or end with a blank, and whether one begins with a space.

    What is not ASCII may be a blank as well.
    """
    first = np.concatenate((signs[:1], signs[ends[:-1] + 1]))
    last = signs[np.maximum(ends - 1, 0)]
    edges = np.concatenate((first, last))
    is_blank = (edges > _ASCII_MAX) | (edges == _BLANK) | (edges == _TAB)
    may_be_blank = bool((is_blank & (edges != delimiter)).any())
    return may_be_blank, delimiter != _BLANK and bool((first == _BLANK).any())
