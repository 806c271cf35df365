"""A row's own number, found however it is written."""

import pytest

from pipeline.cards.detect import lack_digits, repeats_number
from pipeline.cards.pan import PanColumn

MIR, WRONG = b"2200123456789019", b"4242424242424241"


@pytest.mark.parametrize("number", [MIR, WRONG, b"589657000000000000", b"123456789012"])
@pytest.mark.parametrize(
    "write",
    [
        "{}".format,
        "x{}y".format,
        "00{}99".format,
        lambda n: n[::-1],
        lambda n: ":".join(n),
        lambda n: "|".join([n[:4], n[4:8], n[8:]]),
        lambda n: "*".join([n[:6], n[6:]]),
        lambda n: "a".join([n[:4], n[4:]]),
        lambda n: "\u2003, ".join([n[:4], n[4:]]),
        lambda n: n.translate({48 + d: 0xFF10 + d for d in range(10)}),
        lambda n: n.translate({48 + d: 0x0E50 + d for d in range(10)}),
    ],
)
def test_a_number_is_found_in_any_writing(number, write):
    """No brand, no check digit, no separator and no direction hides it."""
    assert repeats_number(["", write(number.decode())], number)


def test_every_sign_that_a_person_reads_as_a_digit_is_worth_a_look():
    """Raised, circled, in brackets: where no decimal digit is, a column is searched all the same."""
    signs = [s for s in map(chr, range(0x110000)) if s.isdigit() and not s.isdecimal()]

    assert [s for s in signs if lack_digits(s)] == []
    raised = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
    text = "".join(raised[int(digit)] for digit in MIR.decode())
    column = PanColumn.from_texts([MIR.decode(), WRONG.decode()])
    assert list(column.repeated_in([text, text])) == [True, False]


@pytest.mark.parametrize(
    "text", ["", "424242424242424", "tokn_test_5fzbq1jz9a4c2k0lq8w", "4242 4242 4242 4240"]
)
def test_what_is_not_the_number_is_not_found(text):
    """Its first digits, or an id that happens to hold some, are not the number."""
    assert not repeats_number([text], WRONG)


@pytest.mark.parametrize("write", ["{}".format, lambda n: n.replace("4", "\uff14")])
def test_a_number_is_found_in_one_text_only(write):
    """Digits of one field and of the next make no number together; those of two lines of one do."""
    halves = [write("42424242"), write("42424241")]

    assert not repeats_number(halves, WRONG)
    assert repeats_number(["\n".join(halves), "x"], WRONG)
    assert repeats_number(["x", "\n".join(halves)[::-1]], WRONG)
