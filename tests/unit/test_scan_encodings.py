"""The search of a block of bytes: what is found, and what is left alone."""

from __future__ import annotations

import base64
import json
import time
import uuid
from random import Random

import pytest

from pipeline.cards.scan_encodings import search
from tests.support.canaries import WRITINGS, make_number


def found(block: bytes) -> list[tuple[str, str]]:
    return [(seen.encoding, seen.last_digits) for seen in search(block)]


@pytest.mark.parametrize("writing", WRITINGS)
def test_a_number_is_found_once_in_every_writing(writing):
    """Each way of writing a number is found, once, and called by its name."""
    encoding, write = WRITINGS[writing]
    number = make_number(Random(5))

    assert [(encoding, number[-4:])] == found(b"row: " + write(number) + b"\nnext line")


@pytest.mark.parametrize("writing", WRITINGS)
def test_a_number_with_a_wrong_check_digit_is_left_alone(writing):
    """No encoding reports a number that is nobody's."""
    _, write = WRITINGS[writing]
    number = make_number(Random(5))
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)

    assert not found(b"row: " + write(wrong) + b"\nnext line")


@pytest.mark.parametrize(
    "around",
    [
        b"%s",
        b"pan=%s;",
        b"SOMCHAI%sX",
        b'{"n":%s}',
        b"7 %s 12",
        b"tokn_%s",
        b"id-%s",
        b"\xff%s\xff",
    ],
)
def test_a_number_is_found_whatever_stands_around_it(around):
    """Letters, other bytes and other numbers beside it hide nothing."""
    number = make_number(Random(6))

    assert [("plain", number[-4:])] == found(around.replace(b"%s", number.encode()))


@pytest.mark.parametrize(
    "look_alike",
    [
        "0.{}",
        "12.{}",
        "0x{}",
        "1{}",
        "{}1",
        "{}00000000",
        "deadbeef{}deadbeef",
        "abc1{}abcd",
    ],
)
def test_what_only_looks_like_a_number_is_left_alone(look_alike):
    """Fractions, addresses, longer runs and digests are no card numbers."""
    number = "4242424242424242"

    assert not found(f"x {look_alike.format(number)} y".encode())


@pytest.mark.parametrize(
    "text", ["3782 8224 6310 005", "3602 1042 0000 04", "3782-8224-6310-005", "3782 822463 10005"]
)
def test_short_numbers_in_fours_are_found(text):
    """A number of fourteen or fifteen digits may be written by fours too."""
    assert [("grouped", text.replace(" ", "").replace("-", "")[-4:])] == found(text.encode())


def test_a_uuid_of_digits_is_left_alone():
    """Four groups of four inside a UUID are no card number."""
    assert not found(b"id 0a4b4242-4242-4242-4242-4242abcdef12 end")


def test_the_paths_of_a_drawing_are_left_alone():
    """A glyph in SVG is full of four numbers in a row."""
    assert not found(b'd="M 0 1 \nQ 4242 4242 4242 4242 \nQ 4242 4242 4242 4242 \nz"')


def test_four_columns_with_tabs_are_left_alone():
    """Numbers in a table are not the groups of one number."""
    assert not found(b"4242\t4242\t4242\t4242\n4242,4242,4242,4242\n")


def test_wrapped_base64_is_placed_where_it_stands():
    """The place of a number in wrapped base64 counts the line ends before it."""
    number = make_number(Random(7)).encode()
    text = base64.encodebytes(b"-" * 300 + number + b"-" * 300)
    place = next(search(text)).start

    line_ends = 400 // 76

    assert 400 + line_ends <= place <= 404 + line_ends


def test_what_a_run_writes_is_left_alone():
    """Ids, digests, times and fractions by the ten thousand give no finding."""
    random = Random(11)
    signs = "0123456789abcdefghijklmnopqrstuvwxyz"
    lines = [
        json.dumps(
            {
                "seq": number,
                "at": f"2026-11-23T22:54:{number % 60:02d}.{number % 1000:03d}Z",
                "ms": 1_790_000_000_000 + number * 13,
                "us": 1_790_000_000_000_000 + number * 17,
                "ns": 1_790_000_000_000_000_000 + number * 19,
                "token": "tokn_test_5" + "".join(random.choices(signs, k=18)),
                "prev": random.randbytes(32).hex(),
                "run": str(uuid.UUID(bytes=random.randbytes(16))),
                "nonce": base64.b64encode(random.randbytes(24)).decode(),
                "rate": random.random(),
                "legacy_id": f"cust-{random.randrange(10**9):09d}",
            }
        )
        for number in range(10_000)
    ]

    assert not found("\n".join(lines).encode())


@pytest.mark.slow
def test_text_is_searched_at_fifty_megabytes_a_second():
    """Searching text keeps up with a disk: at least 50 MB/s of one core, best of three."""
    line = b'{"at":"2026-11-23T22:54:01Z","token":"tokn_test_5fzc8j","n":12345,"rate":0.25}\n'
    block = line * ((1 << 20) // len(line))
    times = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(8):
            assert not list(search(block))
        times.append(time.process_time() - began)

    assert 8 * len(block) / min(times) >= 50e6
