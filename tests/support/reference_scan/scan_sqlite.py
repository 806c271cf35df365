"""Looks for card numbers in the records of a SQLite database, its journal and its WAL.

Records lie in a page without separators: a number followed by a month reads as 18 digits, and
an integer is no digits at all. So the cells of every page are taken apart, of free pages too,
which keep what they held, and of the page images in journals. What lies between the cells is
left over from deleted ones; there a number may touch its neighbours, and is looked for at both
ends of a run of digits, unless the same run still stands in a living record.

Source: the file format's own description, sqlite.org/fileformat2.html, sections 1.6, 2.1, 4.
"""

from __future__ import annotations

import re
import struct
from typing import IO, TYPE_CHECKING, Final

from pipeline.cards.number_rules import DIGITS_MAX, is_card_number
from tests.support.reference_scan.scan_numbers import Sighting
from tests.support.reference_scan.scan_streams import search_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_MAGIC: Final = b"SQLite format 3\0"
JOURNAL_MAGIC: Final = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
WAL_MAGICS: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
HEAD_BYTES: Final = 100

_LEAF_TABLE: Final = 0x0D
_LEAF_INDEX: Final = 0x0A
_INNER_INDEX: Final = 0x02
_INNER_TABLE: Final = 0x05
_CELL_POINTERS: Final = {_LEAF_TABLE: 8, _LEAF_INDEX: 8, _INNER_INDEX: 12, _INNER_TABLE: 12}
_WAL_HEADER: Final = 32
_WAL_FRAME: Final = 24
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_INTEGER_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
_FLOAT: Final = 7
_FIRST_BLOB: Final = 12
_VARINT_MAX: Final = 9
_RUN: Final = re.compile(rb"(?<![0-9])[0-9]{13,40}(?![0-9])")
_LONG_GAP: Final = re.compile(rb"\0{9,}")
_SHORT_GAP: Final = bytes(8)
_TOUCHING_LENGTHS: Final = (16, 15)


def is_sqlite(head: bytes) -> bool:
    """Say whether a file that begins so (`HEAD_BYTES`) can be taken apart here."""
    return _layout(head) is not None


def search_sqlite(stream: IO[bytes]) -> Iterator[tuple[str, Sighting]]:
    """Give every sighting in a database, rollback journal or WAL, by page.

    A number that is cut in two by the border of an overflow page is not found.

    Args:
        stream: A seekable stream at its beginning.
    """
    remains = _Remains()
    for (number, living), seen in search_pieces(_pieces(stream, remains)):
        # Plain digits outside living records are judged at the end, when all records are known.
        if living or seen.encoding != "plain":
            yield f"page {number}", seen
    yield from remains.sightings()


def _pieces(stream: IO[bytes], remains: _Remains) -> Iterator[tuple[tuple[int, bool], bytes]]:
    """Give every value of every record as a living piece, and every page's rest as another."""
    for number, page in _pages(stream):
        rest = bytearray(page)
        for start, end, values in _records(page, HEAD_BYTES if number == 1 else 0):
            yield from (((number, True), value) for value in values)
            remains.note_living(page[start:end])
            rest[start:end] = bytes(end - start)
        remains.note_rest(number, rest)
        yield (number, False), _LONG_GAP.sub(_SHORT_GAP, rest)


def _layout(head: bytes) -> tuple[int, int, int, int] | None:
    """Give where pages begin, their size, and what stands before and after each (bytes)."""
    layout = None
    if head.startswith(DATABASE_MAGIC):
        size = int.from_bytes(head[16:18], "big")
        layout = (0, 1 << 16 if size == 1 else size, 0, 0)
    elif head.startswith(WAL_MAGICS):
        layout = (_WAL_HEADER, int.from_bytes(head[8:12], "big"), _WAL_FRAME, 0)
    elif head.startswith(JOURNAL_MAGIC):
        sector, size = (int.from_bytes(head[at : at + 4], "big") for at in (20, 24))
        layout = (sector, size, 4, 4)
    return layout if layout and layout[1] in _PAGE_SIZES else None


def _pages(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Give pages with their numbers: counted, or read from the header in front of each."""
    start, size, before, after = _layout(stream.read(HEAD_BYTES)) or (0, 1 << 16, 0, 0)
    stream.seek(start)
    count = 0
    # A last, incomplete page is filled up, so that it is searched like the others.
    while len(image := stream.read(before + size + after)) > before:
        count += 1
        number = int.from_bytes(image[:4], "big") if before else count
        yield number, image[before : before + size].ljust(size, b"\0")


def _records(page: bytes, header: int) -> Iterator[tuple[int, int, list[bytes]]]:
    """Give where each well-formed record begins and ends inside this page, and its values.

    The number of a row, which stands before its record, is one of its values. In inner pages of a
    table it stands alone; there the record is empty.
    """
    kind = page[header]
    if kind not in _CELL_POINTERS:
        return
    count = int.from_bytes(page[header + 3 : header + 5], "big")
    pointers = header + _CELL_POINTERS[kind]
    used = page[pointers : pointers + 2 * count]
    for (place,) in struct.iter_unpack(">H", used[: len(used) // 2 * 2]):
        if kind == _INNER_TABLE:
            row, start = _varint(page + bytes(_VARINT_MAX), place + 4)
            if start <= len(page):
                yield start, start, [_signed(row)]
            continue
        start = place + 4 if kind == _INNER_INDEX else place
        length, start = _varint(page, start)
        rows = []
        if kind == _LEAF_TABLE:
            row, start = _varint(page, start)
            rows = [_signed(row)]
        end = min(len(page), start + _local_length(length, len(page), kind))
        values = _values(page[start:end], length)
        # What is no record stays in the rest: a damaged page must not hide anything.
        if values is not None:
            yield start, end, rows + values


def _local_length(length: int, usable: int, kind: int) -> int:
    """Give how much of a payload lies in the cell itself; the rest is in overflow pages."""
    most = usable - 35 if kind == _LEAF_TABLE else (usable - 12) * 64 // 255 - 23
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
        if kind >= _FIRST_BLOB:
            size = (kind - _FIRST_BLOB) // 2
            values.append(payload[body : body + size])
        else:
            size = _INTEGER_SIZES[kind]
            values.append(_as_digits(kind, payload[body : body + size]))
        body += size
    return values if body == length and place == header_length else None


def _as_digits(kind: int, raw: bytes) -> bytes:
    if kind != _FLOAT:
        return str(int.from_bytes(raw, "big", signed=True)).encode()
    number = struct.unpack(">d", raw)[0] if len(raw) == struct.calcsize(">d") else 0.5
    return str(int(number)).encode() if number.is_integer() else b""


def _signed(row: int) -> bytes:
    return str(int.from_bytes(row.to_bytes(8, "big"), "big", signed=True)).encode()


def _varint(page: bytes, place: int) -> tuple[int, int]:
    value = 0
    for step, byte in enumerate(page[place : place + _VARINT_MAX], start=1):
        if step == _VARINT_MAX:
            return value << 8 | byte, place + step
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + step
    return value, len(page)


class _Remains:
    """What deleted records left between the living ones."""

    def __init__(self) -> None:
        self._living = set[bytes]()
        self._left: dict[bytes, int] = {}

    def note_living(self, payload: bytes) -> None:
        """Take note of the runs of digits in a living record; older copies of it may lie about."""
        self._living.update(_RUN.findall(payload))

    def note_rest(self, number: int, rest: bytearray) -> None:
        """Take note of the runs of digits outside of a page's living records."""
        for run in _RUN.findall(rest):
            self._left.setdefault(run, number)

    def sightings(self) -> Iterator[tuple[str, Sighting]]:
        """Give the card numbers in, or at either end of, a run that no living record has."""
        for run, number in self._left.items():
            if run not in self._living:
                for digits in sorted(_numbers_in(run)):
                    yield f"page {number}", Sighting(0, len(digits), "deleted record", digits[-4:])


def _numbers_in(run: bytes) -> set[str]:
    digits = run.decode("ascii")
    whole = {digits} if len(digits) <= DIGITS_MAX else set()
    ends = {part for size in _TOUCHING_LENGTHS for part in (digits[:size], digits[-size:])}
    return {number for number in whole or ends if is_card_number(number)} or {
        number for number in ends if is_card_number(number)
    }
