"""What could hold a card number passes, in every way of writing; most of what holds none does not."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from pipeline.cards.scan_ahead import look_ahead
from pipeline.cards.scan_prefilter import (
    ANYWHERE,
    APART,
    could_be_numbers,
    regions_that_could_hold,
    spans_that_could_hold,
)
from tests.support.canaries import WRITINGS, make_number

REACH = 1024
CLEAN = (
    b'{"at":"2026-11-23T22:54:01.123Z","rate":0.7364526374859283,"in_flight":64}\n',
    b"3f2504e0-4f89-11d3-9a0c-0305e82c3301,1790000000000,1790000000000000000\n",
    b"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35\n",
)


def hits(pieces, pattern):
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = ends - [len(piece) for piece in pieces]
    return spans_that_could_hold(b"".join(pieces), starts, ends, pattern).tolist()


@pytest.mark.parametrize("pattern", [APART, ANYWHERE])
def test_a_number_passes_in_every_way_of_writing(pattern):
    """Alone in its piece, whatever lies in the pieces beside it."""
    random = Random(7)
    pieces = [write(make_number(random)) for _, write in WRITINGS.values() for _ in range(20)]

    assert all(hits(pieces, pattern))


def test_times_rates_ids_and_digests_do_not_pass():
    """A log is not looked at more closely because of them."""
    assert not any(hits(CLEAN, APART))


def test_touching_numbers_pass_only_where_values_lie_side_by_side():
    """Digits may stand on both sides of a number that was left over from a deleted record."""
    piece = b"00" + make_number(Random(3)).encode()

    assert hits([piece], ANYWHERE) == [True]
    assert hits([piece], APART) == [False]


@pytest.mark.parametrize("shift", range(-20, 3))
def test_a_number_over_an_edge_is_in_a_region(shift):
    """Regions are told to some kilobytes; an edge between two hides nothing."""
    number = make_number(Random(5)).encode()
    block = bytearray(b"." * (1 << 18))
    place = (1 << 15) + shift
    block[place : place + len(number)] = number

    regions = regions_that_could_hold(bytes(block), REACH)

    assert any(start <= place and place + len(number) <= end for start, end in regions)
    assert sum(end - start for start, end in regions) < 1 << 15


def test_whole_numbers_pass_by_their_first_digits_and_their_length():
    """Times in any unit and the lowest and highest integers do not."""
    number = int(make_number(Random(1)))
    values = np.array([number, -number, 1_790_000_000_000, -(2**63), 2**63 - 1, 0], dtype=np.int64)

    assert could_be_numbers(values).tolist() == [True, True, False, False, False, False]


def test_blocks_come_in_order_with_their_answers():
    """However many are looked at ahead."""
    assert list(look_ahead(lambda n: n * n, range(50))) == [(n, n * n) for n in range(50)]


def test_a_look_that_fails_fails_where_its_block_comes():
    """An error is not lost in a thread."""
    answers = look_ahead(lambda n: 1 // (3 - n), range(5))

    assert [next(answers)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(answers)
