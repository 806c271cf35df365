"""Fuzz targets of number parsing: any texts in, what the slow definition says out."""

from __future__ import annotations

from pipeline.cards.detect import contains_pan, texts_containing_pan
from pipeline.cards.pan import PanColumn, Shape
from pipeline.cards.scan_encodings import search
from tests.support.cards import check_digit
from tests.support.slow_rules import slow_brand, slow_contains_pan, slow_length_fits, slow_shape

_SHAPES = {shape.name: int(shape) for shape in Shape}


def _texts(given: bytes) -> list[str]:
    # Surrogates too: JSON can bring them.
    return given.decode("utf-8", "surrogateescape").split("\n")


def column_of_numbers(given: bytes) -> None:
    """Shape, digits, check digit, brand, length and last four are those of the slow definition."""
    texts = _texts(given)
    column = PanColumn.from_texts(texts)
    known = zip(
        texts,
        column.shapes.tolist(),
        column.lengths.tolist(),
        column.luhn().tolist(),
        column.brands().tolist(),
        column.length_fits().tolist(),
        column.last_digits().tolist(),
        strict=True,
    )
    for place, (text, *facts) in enumerate(known):
        shape, digits = slow_shape(text)
        whole = 12 <= len(digits) <= 19
        luhn = whole and check_digit(digits[:-1]) == digits[-1]
        brand = slow_brand(digits) if whole else ""
        fits = whole and slow_length_fits(digits)
        last = digits[-4:] if whole else None
        assert [_SHAPES[shape], len(digits), luhn, brand, fits, last] == facts
        try:
            assert column.reveal(place) == digits.encode()
        except ValueError:
            assert not whole


def number_in_text(given: bytes) -> None:
    """A text holds a card number or a track when the slow definition finds one."""
    texts = _texts(given)
    expected = [slow_contains_pan(text) for text in texts]

    assert expected == [contains_pan(text) for text in texts]
    assert expected == texts_containing_pan(texts)


def number_in_bytes(given: bytes) -> None:
    """The search of any bytes ends, and every place lies inside of them."""
    for seen in search(given):
        assert 0 <= seen.start < len(given)
        assert len(seen.last_digits) == 4


COLUMN_SEEDS = [
    b"4242424242424242\n4242 4242-4242\t4242\n378282246310005\n6447032400000000001",
    b"4.24E+15\n4,2e9\n4242424242424242.0\n1" + b"2" * 25,
    "4242****4242\n••••4242\n๔๒๔๒\n\n -\n'4242".encode(),
    b"500000000009\n0000000000000000\n6304000000000000\n36021042000004",
    b"\xff4242424242424242\n-\n4242\xff",
]
TEXT_SEEDS = [
    b"x4242424242424242y\nAnn 4242 4242 4242 4242 Lee\n378282246310005",
    b"4242424242424242 1230\n4242-4242-4242-4242\n1 2 3 4 5 6 7 8 9 0 1 2 3",
    b"%B4242424242424242^A/B^3012\n;4242424242424242=3012\nB4242424242424241^",
    "๔๒๔๒๔๒๔๒๔๒๔๒๔๒๔๒\n4242\u20134242\u20134242\u20134242\n4242\u00a04242\u200b42424242".encode(),
    b"4242.4242.4242.4242\n4242_4242_4242_4242\n4242/4242/4242/4242",
    b"2026-11-23 22:37:01.123456 +66 81 234 5678",
]
BYTES_SEEDS = [
    b"a 4242424242424242 NDI0MjQyNDI0MjQyNDI0Mg== 34323432343234323432343234323432",
    "4242424242424242".encode("utf-16-le") + "4242424242424242".encode("utf-16-be"),
    b"%34%32%34%32%34%32%34%32%34%32%34%32%34%32%34%32 4242%204242%204242%204242",
    "๔๒๔๒๔๒๔๒๔๒๔๒๔๒๔๒".encode(),
]
