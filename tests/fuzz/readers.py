"""Fuzz targets of the reader: any bytes in, the slow definition's rows out.

The first bytes of an input say how the rest is cut into blocks, and the limits.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import patch

from pipeline.errors import ExportRefused
from pipeline.exports import text_lines as steps
from pipeline.exports.columns import ReaderOptions, column_places
from pipeline.exports.csv_dialect import Dialect
from pipeline.exports.csv_records import csv_records
from pipeline.exports.json_fields import JsonFields
from pipeline.exports.json_records import json_records
from pipeline.exports.reader import _header, read
from pipeline.exports.security_code_values import CodeColumns
from pipeline.exports.text_lines import text_lines
from tests.support.cards import COLUMNS
from tests.support.frames import frame_of
from tests.support.records import rows_of
from tests.support.slow_rules import slow_records

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

HEAD = b"id,card_number,card_holder,exp_month,exp_year\n"
WIDTH = HEAD.count(b",") + 1
SOURCES = ("id", "card_number", "card.holder", "month")
CODES = {"malformed_row", "undecodable_text", "row_too_long"}
NO_CARD = "no_card"
"""Of a record that says nothing of a card: it is skipped, and counted."""
GOOD_LINE = b'{"id":"a","card_number":"4242424242424242","card":{"holder":"A"},"month":1}'


def _in_steps_of(size: int) -> AbstractContextManager[object]:
    """Make the reader's steps small for a while, so that small inputs take many of them."""
    return patch.object(steps, "_BATCH_BYTES", size)


def _pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def csv_rows(given: bytes) -> None:
    """Records after a header are those of the slow definition, however the bytes come."""
    if len(given) < 3:
        return
    limit, step, size = len(HEAD) + given[0], 4 + given[1] % 90, 1 + given[2] % 90
    raw = given[3:]
    options = ReaderOptions(COLUMNS, row_bytes_max=limit)
    with _in_steps_of(step):
        lines = text_lines(_pieces(HEAD + raw, size), "utf-8", limit)
        header = _header(lines, options)
        records = csv_records(lines.batches, Dialect(",", lines.encoding, len(header), limit))
        found = rows_of(records)

    assert slow_records(raw, WIDTH, limit) == found


def csv_header(given: bytes) -> None:
    """A first line is a header with the wanted columns, or refused without a word of it."""
    options = ReaderOptions(COLUMNS, carry=("city",))
    said, found = "", []
    try:
        fields = _header(text_lines([given], "utf-8", 4096), options)
        found = [fields[place].strip() for place in column_places(fields, options).values()]
    except ExportRefused as refusal:
        said = f"{refusal} {refusal.next_step} {refusal.__cause__}"

    assert "QQQ" not in said
    assert said or found == [*COLUMNS.values(), "city"]


def json_lines(given: bytes) -> None:
    """A line is texts in the order of the sources or a code; how it comes does not matter."""
    if len(given) < 2:
        return
    # Real steps hold any first line whole, and with it the kind of line ends.
    size, raw = 1 + given[0] % 90, b'{"id":"a"}\n' + given[2:]
    with _in_steps_of(16 + given[1] % 90):
        found = _json(_pieces(raw, size))

    assert found == _json([raw])
    if isinstance(found, list):
        for record in found:
            assert record in CODES if isinstance(record, str) else _is_row(record)


def _json(blocks: list[bytes]) -> list[list[str] | str] | str:
    lines = text_lines(blocks, "utf-8", 300)
    try:
        wanted = JsonFields(SOURCES, SOURCES, (), CodeColumns())
        records = json_records(lines.batches, wanted, lines.encoding)
        return rows_of(records)
    except ExportRefused as refusal:
        return str(refusal)


def _is_row(record: list[str]) -> bool:
    return len(record) == len(SOURCES) and all(type(text) is str for text in record)


def json_line(given: bytes) -> None:
    """A line that is read is an object to Python's own reader too, with the same texts."""
    line = given.replace(b"\n", b" ").replace(b"\r", b" ")
    found = _json([b'{"id":""}\n' + line + b"\n"])
    if isinstance(found, str) or len(found) < 2 or isinstance(found[1], str):
        return
    # A Ctrl-Z that ends the text is no part of it.
    text_of_line = line.decode().rstrip("\x1a")
    pairs = json.loads(text_of_line, object_pairs_hook=_distinct)
    for source, text in zip(SOURCES, found[1], strict=True):
        value = pairs.get(source)
        if value is None and "." in source:
            first, _, second = source.partition(".")
            inner = pairs.get(first)
            value = inner.get(second) if isinstance(inner, dict) else None
        if isinstance(value, str):
            assert value == text
        elif value is None:
            assert text == ""
        else:
            assert isinstance(value, int | float)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def whole_export(given: bytes) -> None:
    """Every row has one number and one place: a frame's or a rejection's."""
    if len(given) < 3:
        return
    options = ReaderOptions(COLUMNS, chunk_rows=1 + given[0] % 9, row_bytes_max=400)
    expected = 1
    with _in_steps_of(64 + given[1] % 90), suppress(ExportRefused):
        for chunk in read(_pieces(given[3:], 1 + given[2]), options):
            rows = [*frame_of(chunk).index, *(rejection.row for rejection in chunk.rejections)]
            assert sorted(rows) == list(range(expected, chunk.last_row + 1))
            assert len(frame_of(chunk)) == len(chunk.numbers)
            assert {rejection.code for rejection in chunk.rejections} <= CODES | {NO_CARD}
            expected = chunk.last_row + 1


_ROW = b"1,4242424242424242,Ann Lee,12,2031\n"
_CUTS = (b"\xff\x20\x10", b"\x00\x00\x00", b"\x30\x05\x59")

# The last ones once broke the claim.
CSV_SEEDS = [cut + text for cut in _CUTS for text in (
    _ROW * 3,
    b'1,"4242\n424242424242","A ""B""",12,2031\r\n' + _ROW,
    b'1,"open,4,12,2031\n' + _ROW,
    b"1,2\n\xff,2,3,4,5\n\0,2,3,4,5\n\n \n",
    _ROW + b"\x1a",
    _ROW + _ROW[:-1] + b"\x1a\x1a\r\n",
    b"\x1a\n" + _ROW + b"\x1a\n\x1a",
)] + [
    b"\x01\n,\x1a",
    b'\xe7\x003\x00\n"\n,,,,\n",4",,"",',
    b'\xe7\x003,,,,,"\n\n"',
    b"\xe7\x00A\t,,,,",
]  # fmt: skip
HEADER_SEEDS = [
    HEAD.replace(b"\n", b",city\n") + _ROW,
    b"\xef\xbb\xbf" + HEAD,
    HEAD.decode().encode("utf-16"),
    b'"id","card_number"\r',
    b"4242424242424242,QQQ\n",
    b"QQQ,cvv\n",
    b"\n\n\r\nQQQ\xff\n",
]
JSON_SEEDS = [
    b"\x20\x20" + line
    for line in (
        GOOD_LINE + b"\n" + GOOD_LINE + b"\n\n",
        b'{"id":1.5,"id":2}\n{"a":{"cvv":1}}\n[]\nnull\n',
        b'{"id":"\\u0041\\ud83d","card":{"holder":[1]}}\n' + b"[" * 60,
        b"\xff\xfe{\0}\0",
        GOOD_LINE + b"\n" + GOOD_LINE + b"\x1a",
    )
]
LINE_SEEDS = [
    GOOD_LINE,
    b'{"id":123456789012345678901234567890,"month":1e400}',
    b'{"card.holder":"x","card":{"holder":"y"}}',
    b'{"id":"\\u0041\\"","month":true}',
]
EXPORT_SEEDS = [cut + HEAD + seed[3:] for cut in _CUTS for seed in CSV_SEEDS[:7]] + [
    b"\x05\x20\x40" + text
    for text in (
        GOOD_LINE + b"\n" + GOOD_LINE,
        GOOD_LINE + b'\n{"onth":1}',
        b"[" + GOOD_LINE + b',{"id":"b"}]\x1a',
    )
]
