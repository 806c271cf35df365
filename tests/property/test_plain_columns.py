"""What is looked at a column at a time, against the rules and the parser that look at each text."""

from __future__ import annotations

import base64
from hashlib import sha256

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline.cards.damage import damage, damages
from pipeline.cards.detect import contains_pan
from pipeline.cards.pan import PanColumn
from pipeline.cards.text_faults import (
    TEXT_MAX,
    are_plain,
    holding_encoded_numbers,
    with_controls,
)
from pipeline.config.policies import Quoting
from pipeline.exports.csv_dialect import Dialect
from pipeline.exports.csv_records import _rows, decoded
from pipeline.exports.plain_table import plain_table
from pipeline.exports.records import Records
from pipeline.hashing import hash_total
from tests.support.records import rows_of

VISA = "4242424242424242"
WRITTEN = (
    *(VISA, VISA[:12], VISA[::-1], "4242 4242 4242 4242", "42424242-4242-4242-0000-000000000000"),
    *(VISA.encode().hex(), base64.b64encode(f"a{VISA}".encode()).decode(), "%34%32" * 8),
    *("B            ^", f"{VISA}=2512", "424242424242=2512", "\u0e54\u0e52" * 8),
)
ODD = (
    *("NULL", "\\N", "nan", "#REF!", "####", '="00123"', "'00124", '"Ann"', "1.2E+11", "3E+5"),
    *(
        "12E4",
        "3e4f",
        "\\u0041",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "\u202e",
        "\x00",
        "\n",
        "\r",
        "\x85",
    ),
    *("x" * (TEXT_MAX + 1), "O'Hara", "Apt #4", "a=b", "สมชาย", "José", "", "7"),
)
plain_pieces = st.text("abc DEF-0123.,'/", max_size=8)
pieces = plain_pieces | st.sampled_from(WRITTEN + ODD) | st.text(max_size=3)
texts = st.lists(pieces, max_size=3).map("".join) | plain_pieces
columns = st.lists(texts, max_size=6) | st.lists(plain_pieces, max_size=6)


def breaks_a_rule(text, *, is_repeated):
    """Ask every rule about texts of one."""
    own = PanColumn.from_texts([VISA]).repeated_in([text])[0]
    encoded = is_repeated and holding_encoded_numbers([text])[0]
    damaged = damage(text, is_id=True) is not None
    faults = (len(text) > TEXT_MAX, contains_pan(text), with_controls([text])[0], own, encoded)
    return damaged or any(faults)


@settings(max_examples=400, deadline=None)
@given(columns, st.booleans())
def test_no_text_of_a_plain_column_breaks_a_rule(column, is_repeated):
    """Whatever stands beside it, what one rule finds in one text makes its column odd."""
    plain = are_plain(column, are_repeated=is_repeated)
    event(f"plain: {plain}")
    if plain:
        assert not any(breaks_a_rule(text, is_repeated=is_repeated) for text in column)


def test_ordinary_columns_are_plain():
    """Names of any script, addresses and short ids need no rule to be asked of each text."""
    for column in (
        ["Ann O'Hara", "สมชาย ใจดี", "", "José-María Ñ."],
        ["12/4 Moo 7, Apt #3", "a=b; c"],
        ["id-1", "cus_9f3e4b", "00123"],
        [],
    ):
        assert are_plain(column)


@settings(max_examples=300, deadline=None)
@given(columns, st.booleans())
def test_damage_is_found_in_a_column_as_in_each_text(column, ids):
    """What a column is asked first leaves out no text that is damaged."""
    each = {place: damage(text, is_id=ids) for place, text in enumerate(column)}
    assert damages(column, ids=ids) == {place: told for place, told in each.items() if told}


signs = st.sampled_from(
    ["a", "1", "é", "ไ", " ", "\t", ",", ";", "\n", "\r\n", "\r", '"', "'", "\\"]
)
odd_lines = st.tuples(
    st.lists(signs, max_size=25).map("".join),
    st.sampled_from([",", ";", "\t", " ", "é"]),
    st.integers(1, 4),
)
even_lines = st.tuples(
    st.lists(st.lists(st.text("ab1é ", max_size=3), min_size=3, max_size=3), min_size=1).map(
        lambda rows: "\n".join(map(",".join, rows))
    ),
    st.just(","),
    st.integers(2, 3),
)


@settings(max_examples=400, deadline=None)
@given(odd_lines | even_lines, st.sampled_from(Quoting))
def test_a_plain_table_is_what_the_parser_reads(lines, quoting):
    """Cutting at every delimiter and line end gives the parser's records, or nothing."""
    text, delimiter, width = lines
    text += "\n"
    dialect = Dialect(delimiter, "utf-8", width, 1000, quoting)
    batch = text.encode()
    table = plain_table(batch, decoded(batch, "utf-8", allowed=delimiter), dialect)
    event(f"plain: {table is not None}")
    if table is not None:
        parsed = _rows(text.split("\n")[:-1], dialect)
        assert rows_of([table]) == rows_of([Records.of(parsed)])
        assert table.count == len(parsed)
        if table.are_stripped:
            assert all(field == field.strip() for column in table.columns for field in column)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.sampled_from((1, 100)),
    st.integers(0, 2**256 - 1),
)
def test_a_hash_total_is_the_sum_of_the_digests(some, times, before):
    """Adding words of digests up by themselves gives what adding whole ones gives."""
    ids = some * times
    whole = [int.from_bytes(sha256(text.encode()).digest()) for text in ids]
    assert hash_total(before, ids) == (before + sum(whole)) % 2**256
