"""Pages whose integers and floats could be card numbers are told from all others by one look."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from random import Random

import numpy as np
import pytest

from pipeline.cards.scan_sqlite_cells import EIGHT_BYTES
from pipeline.cards.scan_sqlite_long_numbers import pages_with_long_numbers
from pipeline.cards.scan_sqlite_pages import Pages, read_pages
from pipeline.cards.scan_sqlite_records import FIRST_BLOB, LEAF_TABLE
from pipeline.ledger.records import row_id
from tests.support.canaries import make_number

NUMBER = int(make_number(Random(11)))
FOURTEEN_DIGITS = 36_000_000_000_008
ORDINARY = (None, 7, -1, 10_000_001_001, 1_795_163_405_697, 1_795_163_405_697_123, 0.25, "Visa")


def flags(statements, values=()):
    """Give what is said of each page but the first of a database in which these rows stand."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=4096")
        for statement in statements:
            connection.execute(statement)
        for row in values:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO a VALUES ({marks})", row)  # noqa: S608 - our own words.
        (pages,) = read_pages(io.BytesIO(connection.serialize()))
    return pages_with_long_numbers(pages, np.ones(len(pages.numbers), dtype=np.bool_))[1:].tolist()


@pytest.mark.parametrize(
    "number", [NUMBER, -NUMBER, float(NUMBER), FOURTEEN_DIGITS, -FOURTEEN_DIGITS]
)
@pytest.mark.parametrize("before", [(), ("a text",), ORDINARY, ("x" * 60,), ("x" * 9_000,)])
def test_a_page_with_a_card_number_passes_whatever_stands_before_it(number, before):
    """Behind short and long values, and in a record that goes on in other pages."""
    columns = ", ".join(f"c{place}" for place in range(len(before) + 1))

    assert any(flags([f"CREATE TABLE a ({columns})"], [(*before, number)]))


def test_a_number_in_an_index_and_as_the_row_of_one_passes():
    """The key, and the number of the row behind it, are values of the index's record."""
    table = ["CREATE TABLE a (c0, id INTEGER PRIMARY KEY)", "CREATE INDEX b ON a (c0)"]

    assert flags(table, [(NUMBER, 1)]) == [True, True]
    assert flags(table, [("x", NUMBER)]) == [True, True]


@pytest.mark.parametrize("number", [NUMBER, -NUMBER, FOURTEEN_DIGITS, 4_000_000_000_006])
@pytest.mark.parametrize("beside", ["", "x" * 200, "x" * 9_000])
def test_a_page_of_a_table_passes_whose_row_has_a_card_number(number, beside):
    """It stands before the record, behind the record's length."""
    table = ["CREATE TABLE a (id INTEGER PRIMARY KEY, c0)"]

    first, *_ = flags(table, [(1, "x" * 100), (number, beside)])

    assert first


def test_an_inner_page_passes_that_parts_two_others_by_a_card_number():
    """The row itself may be deleted by then."""
    table = ["CREATE TABLE a (id INTEGER PRIMARY KEY, c0)"]
    rows = [(number, "x" * 3_000) for number in (1, 2, NUMBER, NUMBER + 1, NUMBER + 2)]

    inner, *leaves = flags(table, rows)

    assert inner
    assert sum(leaves) == 3


def test_numbers_of_our_rows_do_not_pass_as_numbers_of_rows():
    """They have as many digits as a card number only when there are hundreds of exports."""
    table = ["CREATE TABLE a (id INTEGER PRIMARY KEY, c0)"]
    rows = [
        (row_id(export, row), "x" * 40)
        for export in (1, 3, 4, 99, 100, 221)
        for row in range(1, 200)
    ]

    found = flags(table, rows)

    assert len(found) > 10
    assert not any(found[:-1])


def test_times_numbers_of_rows_and_short_texts_do_not_pass():
    """A ledger is not looked at more closely because of them, in tables and in indexes."""
    columns = ", ".join(f"c{place}" for place in range(len(ORDINARY)))
    table = [f"CREATE TABLE a ({columns})", "CREATE INDEX b ON a (c4, c7)"]

    found = flags(table, [ORDINARY] * 500)

    # The end of what is read at once is never looked at so.
    assert len(found) > 5
    assert not any(found[:-1])


def test_a_damaged_record_that_ends_behind_the_last_page_passes():
    """Its length and types are read; nothing is read where its values would lie."""
    page, cell = bytearray(512), 440
    page[:10] = bytes(
        [LEAF_TABLE, 0, 0, 0, 1, *cell.to_bytes(2, "big"), 0, *cell.to_bytes(2, "big")]
    )
    text = FIRST_BLOB + 2 * 57
    page[cell : cell + 13] = bytes([0x7F, 1, 11, text, EIGHT_BYTES, *bytes(8)])

    assert pages_with_long_numbers(Pages([2], bytes(page), 512), np.ones(1, dtype=np.bool_)).all()


def test_only_chosen_pages_pass():
    """What is known of a page already is not asked again."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (c0)")
        connection.execute("INSERT INTO a VALUES (?)", (NUMBER,))
        (pages,) = read_pages(io.BytesIO(connection.serialize()))

    assert not pages_with_long_numbers(pages, np.zeros(2, dtype=np.bool_)).any()
