"""The reader against a slow second definition, on any rows, any bytes and any cut."""

from __future__ import annotations

from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.policies import Multiline
from pipeline.exports import text_lines
from pipeline.exports.columns import BLANKS, ReaderOptions
from pipeline.exports.reader import read
from tests.support.cards import COLUMNS, HEADER, csv_export, row
from tests.support.frames import frame_of
from tests.support.sampled import examples
from tests.support.slow_rules import slow_records

FIELDS = [name for name in HEADER if name != "card_number"]

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ['a"b', '"', "a,b", "line\nbreak", "line\r\nbreak", "", " x ", "สมชาย", "a;b", "'=1+1"]
)
cuts = st.lists(st.integers(0, 40), max_size=20)
rows_of_texts = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, texts)), max_size=12)


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into blocks of these sizes, the rest in one."""
    blocks = []
    for size in sizes:
        blocks.append(raw[:size])
        raw = raw[size:]
    return [*blocks, raw]


def everything(blocks, options, batch_bytes=512 * 1024):
    """Give every row as read, in order: its number and its fields or its code.

    The size of the reader's steps is made small, so that small inputs take many of them.
    """
    with patch.object(text_lines, "_BATCH_BYTES", batch_bytes):
        return _everything(blocks, options)


def _everything(blocks, options):
    rows = []
    for chunk in read(blocks, options):
        found = [(rejection.row, rejection.code) for rejection in chunk.rejections]
        values = zip(frame_of(chunk).index, frame_of(chunk).to_numpy().tolist(), strict=True)
        digits = chunk.numbers.last_digits().tolist()
        found += [(n, (*v, d)) for (n, v), d in zip(values, digits, strict=True)]
        found.sort(key=lambda entry: entry[0])

        assert [n for n, _ in found] == list(range(chunk.first_row, chunk.last_row + 1))
        rows += found
    return rows


@settings(deadline=None)
@given(rows_of_texts, st.integers(1, 5), cuts, st.integers(4, 200))
def test_any_rows_in_any_chunks_and_blocks_come_out_as_they_were(rows, chunk_rows, sizes, steps):
    """What a CSV writer wrote is read back, row by row, blanks around fields apart."""
    raw = csv_export([row(**fields) for fields in rows])
    # A writer's honest quotes may look like stray ones, whose guard has tests of its own.
    options = ReaderOptions(
        COLUMNS, carry=("city", "country"), chunk_rows=chunk_rows, multiline=Multiline.ALWAYS
    )
    order = ("id", "card_holder", "exp_month", "exp_year", "city", "country")
    expected = [
        (place, (*(fields[name].strip(BLANKS) for name in order), "4242"))
        for place, fields in enumerate(rows, 1)
    ]

    assert everything(cut(raw, sizes), options, steps) == expected


@settings(deadline=None)
@given(rows_of_texts, st.integers(1, 5), cuts, st.integers(4, 200))
def test_json_lines_come_out_as_they_were(rows, chunk_rows, sizes, steps):
    """What a JSON writer wrote is read back, row by row."""
    raw = b"\n".join(orjson.dumps(row(**fields)) for fields in rows) + b"\n"
    options = ReaderOptions(COLUMNS, format="jsonl", chunk_rows=chunk_rows)
    order = ("id", "card_holder", "exp_month", "exp_year")
    expected = [
        (place, (*(fields[name].strip(BLANKS) for name in order), "4242"))
        for place, fields in enumerate(rows, 1)
    ]

    assert everything(cut(raw, sizes), options, steps) == expected


dirty = st.lists(
    st.sampled_from(
        [
            *(
                b'"',
                b'""',
                b",",
                b"\n",
                b"\r\n",
                b"\r",
                b"a",
                b"4242",
                b"\xff",
                b"\0",
                b" ",
                b"\xe0\xb8",
                b"\x0b",
                b"\x1a",
                b"\x1a\n",
            ),
            *(b'2,",3,4,5\n', b'1,2,3,4,"\n', b"1,2,3,4,5,\n", b",,,,\n"),
            *(b"\t,,,,\n", "\u3000,,,,\n".encode(), b"\xc2\xa0,,,,,\n"),
            *(b"1,2,3,4,5\n", b'1,"2\n2",3,4,5\n', "ก,ข,3,4,5\n".encode()),
            b'x,"' + b"y" * 30 + b"\n",
        ]
    ),
    max_size=60,
).map(b"".join)

HEAD = b"id,card_number,card_holder,exp_month,exp_year\n"


@settings(max_examples=examples(600), deadline=None)
@given(dirty, st.integers(20, 60), st.integers(1, 7), cuts, st.integers(4, 99))
def test_any_bytes_are_read_as_the_slow_definition_reads_them(raw, limit, chunk_rows, sizes, steps):
    """No byte is an exception, no row is lost, and how the bytes come does not matter."""
    options = ReaderOptions(COLUMNS, chunk_rows=chunk_rows, row_bytes_max=max(limit, len(HEAD)))
    expected = []
    for place, fields in enumerate(slow_records(raw, 5, options.row_bytes_max), 1):
        if isinstance(fields, list):
            legacy_id, number, *rest = (field.strip(BLANKS) for field in fields)
            is_card = any((legacy_id, number, *rest[1:]))
            expected.append((place, (legacy_id, *rest) if is_card else "no_card"))
        else:
            expected.append((place, fields))
    found = [
        (n, value if isinstance(value, str) else value[:-1])
        for n, value in everything(cut(HEAD + raw, sizes), options, steps)
    ]

    assert found == expected


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=300), cuts, st.integers(4, 99))
def test_any_bytes_as_json_lines_are_rows_or_problems(raw, sizes, steps):
    """A line of JSON that is none is a malformed row, whatever it is and however it comes."""
    options = ReaderOptions(COLUMNS, format="jsonl")
    raw = b'{"id": "a"}\n' + raw

    assert everything(cut(raw, sizes), options, steps) == everything([raw], options)
