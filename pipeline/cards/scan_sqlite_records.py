"""Takes the records of one page of a SQLite database apart, whatever state the page is in.

It takes each page slowly and byte by byte; `scan_sqlite_cells` takes those that are in order
apart many at a time.

Source: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAF_TABLE: Final = 0x0D
LEAF_INDEX: Final = 0x0A
INNER_INDEX: Final = 0x02
INNER_TABLE: Final = 0x05
CELL_POINTERS: Final = {LEAF_TABLE: 8, LEAF_INDEX: 8, INNER_INDEX: 12, INNER_TABLE: 12}
"""Where the pointers to a page's cells begin, by kind of page; other kinds have no cells."""

WITH_RECORDS: Final = (LEAF_TABLE, LEAF_INDEX, INNER_INDEX)
"""The kinds of page whose cells hold records."""

SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
"""Bytes of a value, by its type; from `FIRST_BLOB` on the type tells the length."""

FLOAT: Final = 7
FIRST_BLOB: Final = 12
VARINT_MAX: Final = 9
"""Bytes that an integer of variable length has at most."""


def records(page: bytes, header: int) -> Iterator[tuple[int, int, list[bytes]]]:
    """Give where each well-formed record begins and ends inside this page, and its values.

    The number of a row, which stands before its record, is one of its values. In the inner pages of
    a table it stands alone, before a record without length.
    """
    kind = page[header]
    if kind not in CELL_POINTERS:
        return
    count = int.from_bytes(page[header + 3 : header + 5], "big")
    pointers = header + CELL_POINTERS[kind]
    used = page[pointers : pointers + 2 * count]
    for (place,) in struct.iter_unpack(">H", used[: len(used) // 2 * 2]):
        if kind == INNER_TABLE:
            row, start = _varint(page + bytes(VARINT_MAX), place + 4)
            if start <= len(page):
                yield start, start, [_signed(row)]
            continue
        start = place + 4 if kind == INNER_INDEX else place
        length, start = _varint(page, start)
        rows = []
        if kind == LEAF_TABLE:
            row, start = _varint(page, start)
            rows = [_signed(row)]
        end = min(len(page), start + local_length(length, len(page), kind))
        values = _values(page[start:end], length)
        # What is no record stays in the rest: a damaged page must not hide anything.
        if values is not None:
            yield start, end, rows + values


def local_length_max(usable: int, kind: int) -> int:
    """Give how long a payload may be that does not go on in overflow pages (bytes)."""
    return usable - 35 if kind == LEAF_TABLE else (usable - 12) * 64 // 255 - 23


def local_length(length: int, usable: int, kind: int) -> int:
    """Give how much of a payload lies in the cell itself; the rest is in overflow pages."""
    most = local_length_max(usable, kind)
    if length <= most:
        return length
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    return local if local <= most else least


def _values(payload: bytes, length: int) -> list[bytes] | None:
    """Give the texts, blobs and numbers (as digits) of a record, or None if it is none."""
    header_length, place = _varint(payload, 0)
    body, values = header_length, []
    while place < min(header_length, len(payload)):
        kind, place = _varint(payload, place)
        if kind >= FIRST_BLOB:
            size = (kind - FIRST_BLOB) // 2
            values.append(payload[body : body + size])
        else:
            size = SIZES[kind]
            values.append(_as_digits(kind, payload[body : body + size]))
        body += size
    return values if body == length and place == header_length else None


def _as_digits(kind: int, raw: bytes) -> bytes:
    if kind != FLOAT:
        return str(int.from_bytes(raw, "big", signed=True)).encode()
    number = struct.unpack(">d", raw)[0] if len(raw) == struct.calcsize(">d") else 0.5
    return str(int(number)).encode() if number.is_integer() else b""


def _signed(row: int) -> bytes:
    """Give the digits of a row's number, which is written without a sign, but meant with one."""
    return str(row - (1 << 64) if row >> 63 else row).encode()


def _varint(page: bytes, place: int) -> tuple[int, int]:
    value = 0
    for step, byte in enumerate(page[place : place + VARINT_MAX], start=1):
        if step == VARINT_MAX:
            return value << 8 | byte, place + step
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last byte has its top bit clear.
            return value, place + step
    return value, len(page)
