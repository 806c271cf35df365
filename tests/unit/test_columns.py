"""Columns without a header, names that stand twice, and rows that are no cards."""

from __future__ import annotations

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import BLANKS, ReaderOptions
from pipeline.exports.reader import read
from tests.support.frames import frame_of

PLACES = {
    "legacy_id": "1",
    "number": "2",
    "name": "3",
    "expiration_month": "4",
    "expiration_year": "5",
}
NAMES = dict(zip(PLACES, ("id", "number", "name", "month", "year"), strict=True))
HEAD = b"id,number,name,month,year\n"
ANN = b"a,4242424242424242,Ann,12,2030\n"
BOB = b"b,5555555555554444,Bob,1,2031\n"


def ids(raw: bytes, columns=NAMES, **options) -> dict[int, str]:
    """Give the legacy id of each card, or the code in its place, by row."""
    found = {}
    for chunk in read([raw], ReaderOptions(columns, **options)):
        found |= frame_of(chunk)["legacy_id"].to_dict()
        found |= {rejection.row: rejection.code for rejection in chunk.rejections}
    return dict(sorted(found.items()))


def refusal(raw: bytes, columns=NAMES, **options) -> str:
    """Give what is said of an export that is refused, with the next step."""
    with pytest.raises(ExportRefused) as refused:
        ids(raw, columns, **options)
    return f"{refused.value} {refused.value.next_step}"


def test_every_blank_that_there_is_does_not_count_around_a_value():
    """They are written out, as to ask each of 65,536 signs takes longer than to load the module."""
    assert {chr(code) for code in range(0x110000) if chr(code).isspace()} <= set(BLANKS)


def test_without_a_header_the_first_line_is_a_row():
    """Columns are named by position, and a row shorter than the first is malformed."""
    raw = b"\n" + ANN + b"x,y\n" + BOB

    assert ids(raw, PLACES, header=False) == {1: "a", 2: "malformed_row", 3: "b"}
    assert ids(b"", PLACES, header=False) == {}
    assert "first row has 2 columns" in refusal(b"x,y\n", PLACES, header=False)
    assert "export.header = false" in refusal(ANN)


def test_a_known_format_without_its_header_is_read_by_its_own_order():
    """The preset's names say which position is which; what they call a code is judged as one."""
    names = (*HEAD.decode().strip().split(","), "cvv")
    raw = ANN.replace(b"\n", b",\n")

    assert ids(raw, NAMES, header=False, header_names=names) == {1: "a"}
    assert ids(ANN, NAMES, header=False, header_names=names) == {1: "a"}
    assert "security codes" in refusal(
        raw.replace(b",\n", b",987\n"), NAMES, header=False, header_names=names
    )


def test_a_name_that_stands_twice_is_told_apart_by_its_place():
    """Unused names may repeat; a wanted one is asked for by `#2`."""
    raw = b"F,id,number,F,number,name,month,year\n,a,1,,4242424242424242,Ann,12,2030\n"

    assert "`number#2`" in refusal(raw)
    assert ids(raw, NAMES | {"number": "number#2"}) == {1: "a"}
    assert "lacks number" in refusal(raw, NAMES | {"number": "number#3"})
    assert "lacks number" in refusal(raw, NAMES | {"number": "number#0"})


def test_a_customer_without_a_card_is_skipped_and_a_card_without_its_number_is_not():
    """No number, no expiration and no id of its own: no card. With one of them it lost the others."""
    raw = HEAD + ANN + b",,Zed,,\nc,,Cid,,\nd,,Dan,12,2030\n"

    assert ids(raw) == {1: "a", 2: "no_card", 3: "c", 4: "d"}
    assert ids(raw, NAMES | {"customer": "id"}) == {1: "a", 2: "no_card", 3: "no_card", 4: "d"}


def test_another_payment_method_is_skipped():
    """A column of accounts that is filled, or one that names the method; a card stays one."""
    accounts = HEAD.replace(b"\n", b",Iban,kind\n") + (
        b"a,4242424242424242,Ann,12,2030,,card\n"
        b"b,,Bob,,,DE00,\n"
        b"c,,Cid,,,,wallet\n"
        b"d,,Dan,,,,Credit Card\n"
        b"e,4242424242424242,Eve,12,2030,DE00,card\n"
    )
    told = {"other_methods": ("Iban", "Paypal"), "method": "kind"}

    assert ids(accounts, **told) == {1: "a", 2: "not_a_card", 3: "not_a_card", 4: "d", 5: "e"}
    assert ids(HEAD + ANN, **told) == {1: "a"}


@pytest.mark.parametrize(
    ("raw", "records", "source", "is_told"),
    [
        (b'[{"id": "a", "number": "4"}]', None, "..id", True),
        (b'{"id": "a", "number": "4"}\n', None, "..id", True),
        (b'{"id": "c", "cards": [{"number": "4"}]}\n', "cards.*", "..id", False),
        (b'{"id": "c", "cards": [{"number": "4"}]}\n', "cards.*", "....id", True),
        (b'{"id": "c",\n "list": [{"id": "a"}]}', "list.*", "..id", True),
        (b'{"of": [{"id": "c",\n "cards": [{"number": "4"}]}]}', "of.*.cards.*", "..id", False),
        (b'{"of": [{"id": "c",\n "cards": [{"number": "4"}]}]}', "of.*.cards.*", "....id", True),
    ],
)
def test_a_column_above_what_can_be_read_is_refused(raw, records, source, is_told):
    """Above the first `*` of a document, and above a whole line, nothing can stand."""
    columns = NAMES | {"legacy_id": source}
    if is_told:
        assert f"`{source}`" in refusal(raw, columns, records=records)
    else:
        assert ids(raw, columns, records=records) == {1: "c"}


def test_what_nobody_named_is_not_called_a_column_that_somebody_named():
    """A setting that is not written is told by its name, and of two that make one only the one."""
    raw = b"a,b,c\n1,2,3\n"
    whole = {name: name for name in ("legacy_id", "number", "expiration_month", "expiration_year")}
    told = refusal(raw, whole | {"name": "holder"})

    assert "lacks name (column `holder`), legacy_id, number, expiration" in told
    assert "expiration_month" not in told
