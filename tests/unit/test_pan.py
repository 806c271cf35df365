"""The column of card numbers: what it knows, and that it shows nothing."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from random import Random

import orjson
import pytest

from pipeline.cards import published_numbers
from pipeline.cards.detect import contains_pan, texts_containing_pan
from pipeline.cards.number_rules import RANGES
from pipeline.cards.pan import PanColumn, Shape
from tests.support.cards import LENGTHS, PUBLISHED_TEST_NUMBERS, card_number

VISA = "4242424242424242"
DISCOVER_19 = "6447032400000000001"
FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in VISA)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (VISA, Shape.DIGITS),
        ("4242 4242-4242 4242", Shape.DIGITS),
        ("", Shape.MISSING),
        (" - ", Shape.MISSING),
        ("4.24E+15", Shape.DAMAGED),
        ("4,24242E+15", Shape.DAMAGED),
        ("4.24242424242424e15", Shape.DAMAGED),
        (VISA + ".0", Shape.DAMAGED),
        ("424242******4242", Shape.MASKED),
        ("XXXX-XXXX-XXXX-4242", Shape.MASKED),
        ("xxxxxxxxxxxx4242", Shape.MASKED),
        ("••••4242", Shape.MASKED),
        ("4242########4242", Shape.MASKED),
        ("4242........4242", Shape.MASKED),
        ("'" + VISA, Shape.NOT_DIGITS),
        ('="4242424242424242"', Shape.NOT_DIGITS),
        ("424242424242424O", Shape.NOT_DIGITS),
        (FULL_WIDTH, Shape.NOT_DIGITS),
        ("๔๒๔๒๔๒๔๒๔๒๔๒๔๒๔๒", Shape.NOT_DIGITS),
        ("4242\n424242424242", Shape.NOT_DIGITS),
        ("none", Shape.NOT_DIGITS),
        ("1" * 20, Shape.DIGITS),
    ],
)
def test_every_text_has_one_shape(text, shape):
    """A text is told to be digits, missing, masked, damaged or something else."""
    column = PanColumn.from_texts(["", text, VISA])

    assert column.shapes.tolist() == [Shape.MISSING, shape, Shape.DIGITS]


def test_a_number_longer_than_a_card_is_known_by_its_length_only():
    """Digits beyond nineteen are counted and not kept."""
    column = PanColumn.from_texts(["4" * 25])

    assert (column.lengths.tolist(), column.last_digits().tolist()) == ([25], [None])


def test_columns_are_as_long_as_their_texts_even_when_empty():
    """No texts give a column of none."""
    column = PanColumn.from_texts([])

    assert len(column) == 0
    assert column.luhn().tolist() == column.brands().tolist() == column.last_digits().tolist() == []


@pytest.mark.parametrize("brand", LENGTHS)
def test_each_brand_is_known_by_its_first_digits(brand):
    """Generated numbers of a brand are told to be of it, and of a length that it has."""
    numbers = [card_number(Random(seed), brand) for seed in range(50)]
    column = PanColumn.from_texts(numbers)

    assert set(column.brands().tolist()) == {brand}
    assert column.length_fits().all()
    assert column.luhn().all()


def test_every_brand_has_a_generator():
    """No brand is left out of these tests."""
    assert set(LENGTHS) == {known.brand for known in RANGES}


def test_ranges_ascend_without_overlap():
    """The table of ranges can be searched by bisection."""
    edges = [edge for known in RANGES for edge in (known.first, known.last)]

    assert edges == sorted(set(edges))


def test_a_number_of_no_range_has_no_brand():
    """An unknown first digit is the empty brand, whatever the check digit says."""
    column = PanColumn.from_texts(["0000000000000000", "1234567812345670", "219999999999999"])

    assert column.brands().tolist() == ["", "", ""]


def test_the_length_must_be_one_of_the_brand():
    """A Visa of fifteen and an American Express of sixteen digits do not fit; Discover may be 19."""
    column = PanColumn.from_texts([VISA[:15], "3782822463100050", DISCOVER_19, "3" * 11, "9" * 16])

    assert column.length_fits().tolist() == [False, False, True, False, True]


def test_last_digits_are_known_only_of_whole_numbers():
    """A masked number's visible end is not taken for its last digits."""
    column = PanColumn.from_texts([VISA, DISCOVER_19, "**** **** **** 4242", "42424242424"])

    assert column.last_digits().tolist() == ["4242", "0001", None, None]


def test_reveal_gives_the_digits_as_they_were():
    """The one way out gives ASCII digits without separators."""
    column = PanColumn.from_texts(["4242-4242 4242 4242", DISCOVER_19, "378282246310005"])

    assert [column.reveal(i) for i in range(3)] == [
        VISA.encode(),
        DISCOVER_19.encode(),
        b"378282246310005",
    ]


@pytest.mark.parametrize("text", ["", "4242****4242", "1" * 20, "42"])
def test_reveal_refuses_a_row_without_a_number(text):
    """What is no number of 12 to 19 digits is not revealed as one."""
    with pytest.raises(ValueError, match="no card number"):
        PanColumn.from_texts([text]).reveal(0)


def test_take_selects_by_mask_and_by_position_into_a_buffer_of_its_own():
    """Wiping the column that was taken from leaves the taken one whole."""
    column = PanColumn.from_texts([VISA, "", DISCOVER_19])
    by_mask, by_place = column.take(column.lengths > 0), column.take([2, 0])
    column.wipe()

    assert [by_mask.reveal(0), by_mask.reveal(1)] == [VISA.encode(), DISCOVER_19.encode()]
    assert [by_place.reveal(0), by_place.reveal(1)] == [DISCOVER_19.encode(), VISA.encode()]


def test_nothing_can_be_taken():
    """An empty selection is an empty column."""
    assert len(PanColumn.from_texts([VISA]).take([])) == 0


def test_a_wiped_column_knows_no_number():
    """After the wipe nothing of the numbers is left in the buffer or told of it."""
    column = PanColumn.from_texts([VISA])
    column.wipe()

    assert not column._digits.any()
    assert not column.luhn().any()
    assert column.last_digits().tolist() == [None]
    with pytest.raises(ValueError, match="no card number"):
        column.reveal(0)


def test_no_way_of_printing_shows_a_digit():
    """repr, str, format and f-strings mask the column."""
    column = PanColumn.from_texts([VISA])
    shown = (repr(column), str(column), f"{column}", f"{column!r:>60}", "%s" % column, [column])  # noqa: UP031 - every way.

    assert "4242" not in repr(shown)


def test_copies_pickles_and_json_are_refused_without_a_value():
    """What would carry the numbers elsewhere raises, and says nothing of them."""
    column = PanColumn.from_texts([VISA])
    for way in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps, orjson.dumps):
        with pytest.raises(TypeError) as caught:
            way(column)

        assert "4242" not in "".join(traceback.format_exception(caught.value))


def test_a_column_cannot_be_walked():
    """There is no iteration and no index that would hand numbers out by accident."""
    column = PanColumn.from_texts([VISA])
    with pytest.raises(TypeError):
        iter(column)
    with pytest.raises(TypeError):
        column[0]


def test_the_digests_are_those_of_the_published_lists():
    """The package knows exactly the published test numbers, and none of them stands in it."""
    expected = {published_numbers.digest(number.encode()) for number in PUBLISHED_TEST_NUMBERS}

    assert expected == published_numbers._PUBLISHED
    assert sorted({int(n) % published_numbers.SIEVE for n in PUBLISHED_TEST_NUMBERS}) == (
        published_numbers.REMAINDERS
    )


def test_published_numbers_are_told_from_generated_ones():
    """Every published number is recognised, and no generated one is."""
    generated = [card_number(Random(seed), brand) for seed in range(300) for brand in LENGTHS]
    generated = [number for number in generated if number not in PUBLISHED_TEST_NUMBERS]

    assert PanColumn.from_texts(PUBLISHED_TEST_NUMBERS).is_published_test_number().all()
    assert not PanColumn.from_texts(generated).is_published_test_number().any()


@pytest.mark.parametrize(
    "text",
    [
        VISA,
        "Somchai 4242 4242 4242 4242",
        "order-4242-4242-4242-4242-x",
        "4242424242424242 1230",
        "x4242424242424242y",
        FULL_WIDTH,
        "4242\u20134242\u20134242\u20134242",
        "๔๒๔๒๔๒๔๒๔๒๔๒๔๒๔๒",
        "4242\u00a04242\u00a04242\u00a04242",
        DISCOVER_19,
        "378282246310005",
        "36021042000004",
        "%B4242424242424242^PRASERT/SOMCHAI^30121010000000000000?",
        ";4242424242424242=30121010000000000000?",
        "B4242424242424241^A",
        "4242.4242.4242.4242",
        "ref_4242_4242_4242_4242_x",
        "1111/4242/4242/4242/4242",
        "3782+822463+10005",
        "3602.1042.0000.04",
    ],
)
def test_a_card_number_or_track_in_a_text_is_found(text):
    """Separators, company, other scripts' digits and tracks hide no number."""
    assert contains_pan(text)
    assert texts_containing_pan(["a", text, "b\nc"]) == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Somchai Prasert",
        "4242424242424241",
        "cus_000000000123",
        "2026-11-23 22:37:01.123456",
        "2026-11-23T22:37:01Z",
        "20261123223701123",
        "1763938621123",
        "+66 81 234 5678",
        "tokn_test_63440m1z407jm6hgxtu",
        "0000000000000000",
        "a=b&c=d",
        "4242424242424242424242",
        "4242\n424242424242",
        "๑๒๓",
        "4242.4242.4242.42421",
        "4242/4242.4242/4242",
        "/backup/2026/1123/2237/0112",
    ],
)
def test_what_is_no_card_number_is_left_alone(text):
    """Times, phone numbers, ids and a wrong check digit are no findings."""
    assert not contains_pan(text)
    assert not any(texts_containing_pan([text, "a"]))


def test_the_package_holds_no_published_number():
    """Even the digests and remainders of the list do not read as a number."""
    with open(published_numbers.__file__, encoding="utf-8") as source:  # noqa: PTH123 - plain.
        assert not contains_pan(source.read())
