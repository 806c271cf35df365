"""The reader's verdict on JSON documents, arrays and lists inside them."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.frames import frame_of

COLUMNS = {
    "legacy_id": "id",
    "number": "number",
    "name": "name",
    "expiration_month": "month",
    "expiration_year": "year",
}
STRIPE = {"records": "customers.*.cards.*", "columns": COLUMNS | {"customer": "..id"}}


def card(card_id, **changes):
    return {
        "id": card_id,
        "number": "4242424242424242",
        "name": "Ann",
        "month": 12,
        "year": 2030,
    } | changes


def rows(raw, *, piece=7, **changes):
    """Give each row's legacy id, with its customer where that is read, or its code."""
    options = ReaderOptions(**({"columns": COLUMNS} | changes))
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    found = {}
    blocks = [raw[start : start + piece] for start in range(0, len(raw), piece)]
    for chunk in read(blocks, options):
        for row, record in frame_of(chunk).iterrows():
            found[row] = (record["legacy_id"], record.get("customer"))
        found |= {rejection.row: rejection.code for rejection in chunk.rejections}
    return [found[row] for row in range(1, len(found) + 1)]


def test_the_members_of_an_array_are_rows():
    """On one line or many, cut anywhere, each object is one row; no object is a bad row."""
    members = [card("a"), 3, card("b")]
    expected = [("a", None), "malformed_row", ("b", None)]

    assert rows(members) == rows(json.dumps(members, indent=2).encode(), piece=1) == expected
    assert rows([]) == []


def test_each_card_under_a_customer_is_a_row_and_knows_its_customer():
    """A path leads into lists in lists, `..` out again, and a customer without cards is named."""
    document = {
        "version": 2,
        "customers": [
            {"id": "c1", "cards": [card("a"), card("b")]},
            {"cards": [card("c")], "id": "c2"},
            {"id": "c3", "cards": []},
            {"id": "c4"},
            {"id": "c5", "cards": "none"},
        ],
    }
    expected = [("a", "c1"), ("b", "c1"), ("c", "c2"), "no_card", "no_card", "malformed_row"]

    assert rows(document, **STRIPE) == expected
    assert rows(json.dumps(document, indent=1).encode(), **STRIPE) == expected


def test_lists_inside_json_lines_are_rows():
    """`records` leads from each line's object; a line without the list is a customer without card."""
    lines = [{"id": "c1", "cards": [card("a"), card("b")]}, {"id": "c2", "cards": []}]
    raw = "\n".join(map(json.dumps, lines)).encode()

    assert rows(raw, records="cards.*", columns=STRIPE["columns"]) == [
        ("a", "c1"),
        ("b", "c1"),
        "no_card",
    ]


def test_a_map_of_records_is_read_like_a_list():
    """`*` is each member of an object, too."""
    document = {"cards": {"x": card("a"), "y": card("b")}}

    assert rows(json.dumps(document, indent=1).encode(), records="cards.*") == [
        ("a", None),
        ("b", None),
    ]


def test_objects_printed_over_several_lines_are_rows():
    """One or more objects, none of them in a list, are a row each."""
    raw = b"\n".join(json.dumps(card(name), indent=2).encode() for name in "ab")

    assert rows(raw) == [("a", None), ("b", None)]


def test_a_key_that_stands_twice_spoils_its_row_in_a_document_too():
    """Nobody chooses between two numbers of one card."""
    raw = (
        b'[{"id":"a","id":"b","number":"4242424242424242"},' + json.dumps(card("c")).encode() + b"]"
    )

    assert rows(raw) == ["malformed_row", ("c", None)]


def test_an_odd_member_among_many_spoils_no_other_and_keeps_its_place():
    """Members are parsed many at a time; one that is no plain object is looked at by itself."""
    members = [card(f"id-{place}") for place in range(300)]
    members[1] = card("long", year=2030.0, month=12, number=4242424242424242)
    members[2] = card(1234567890123456789012345)
    members[3] = card("nested", address={"city": "Bangkok", "geo": [1.5, {"id": "x"}]})
    members[4] = card(["a"])
    members[5] = 5
    members[6] = card('a"},{"id":"\\')
    members[7] = card("a\x01b")
    text = json.dumps(members).replace('"id": "id-9",', '"id": "id-9", "id": "b",')
    expected = [(f"id-{place}", None) for place in range(300)]
    expected[1:8] = [
        *(("long", None), ("1234567890123456789012345", None), ("nested", None)),
        *("malformed_row", "malformed_row", ('a"},{"id":"\\', None), "malformed_row"),
    ]
    expected[9] = "malformed_row"

    assert rows(text.encode(), piece=1_000) == expected
    inner = b'{"customers": ' + text.encode() + b"}"
    assert rows(inner, records="customers.*", format="json") == expected


def test_a_list_whose_key_ends_like_the_parsers_name_of_members_is_refused_in_words():
    """Its members could not be told from the list; no row of it is lost without a word."""
    with pytest.raises(ExportRefused) as caught:
        rows({"customers.item": [card("a")]}, format="json", **STRIPE)

    assert "ends in `.item`" in caught.value.message


def test_a_whole_number_of_thousands_of_digits_is_no_end_of_the_program():
    """Nothing that makes numbers of texts ever sees it: it is a text like another, or refused."""
    member = f'{{"id": {"7" * 5_000}, "name": "a\\"b"}}'

    assert rows(f"[{member}]".encode()) == [("7" * 5_000, None)]
    assert rows(member.encode(), format="jsonl") == ["malformed_row"]
    with pytest.raises(ExportRefused, match="4,300 digits"):
        rows(f'{{"cards": {{"x": {member}}}}}'.encode(), records="cards.*", format="json")


def test_a_fraction_under_a_key_of_security_codes_is_one():
    """Whatever kind of number stands there, and whoever parses it."""
    raw = b'[{"id":"a", "cvv": 12.5, "inner": {"x": 1}}]'

    with pytest.raises(ExportRefused, match="security codes"):
        rows(raw)


def test_other_encodings_are_read_as_the_settings_say():
    """UTF-16 with a mark and a named encoding give the same rows."""
    text = json.dumps([card("\u0e01")], ensure_ascii=False)

    assert rows(text.encode("utf-16")) == [("\u0e01", None)]
    assert rows(text.encode("cp874"), encoding="cp874") == [("\u0e01", None)]


@pytest.mark.parametrize(
    ("raw", "told", "options"),
    [
        (b'[{"id":"SECRET"},}', "not well-formed", {}),
        (b'[{"id":"SECRET"}', "not well-formed", {}),
        (b'[{"id":"SECRET"}] x', "not well-formed", {}),
        (b'[{"id":"\xff"}]', "not well-formed", {}),
        (b'{\n"people": [{"id":"SECRET"}]}', "without records", {"records": "customers.*"}),
        (b'[{"id":"a", "cvv": "123"}]', "security codes", {}),
        (b'[{"id":"a", "deep": [[{"cvv": "123"}]]}]', "security codes", {}),
        (b"[{" + b'"x":"' + b"y" * 9_000_000 + b'"}]', "nothing to read", {}),
    ],
)
def test_a_document_that_cannot_be_read_refuses_the_export(raw, told, options):
    """Malformed or misplaced documents are named, with nothing of what they hold."""
    with pytest.raises(ExportRefused) as caught:
        rows(raw, piece=100_000, **options)

    assert told in caught.value.message
    assert "SECRET" not in caught.value.message + caught.value.next_step


def test_an_empty_list_of_records_is_an_export_without_rows():
    """An export without customers is no mistake."""
    assert rows({"customers": []}, format="json", **STRIPE) == []
