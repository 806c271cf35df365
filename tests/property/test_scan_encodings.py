"""Searching for numbers, whatever stands around them."""

from __future__ import annotations

import io
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cards.scan_encodings import search
from pipeline.cards.scan_streams import BLOCK_BYTES, search_stream
from tests.support.canaries import WRITINGS, make_number
from tests.support.sampled import examples

SURROUNDINGS = st.binary(max_size=60).map(lambda raw: raw.replace(b"\\", b"/"))


def expect_found(writing: str, seed: int, before: bytes, after: bytes) -> None:
    encoding, write = WRITINGS[writing]
    number = make_number(Random(seed))
    block = before + b"\n<" + write(number) + b">\n" + after

    assert (encoding, number[-4:]) in {(seen.encoding, seen.last_digits) for seen in search(block)}


@given(st.sampled_from(sorted(WRITINGS)), st.integers(0, 2**32), SURROUNDINGS, SURROUNDINGS)
@settings(max_examples=examples(300), deadline=None)
def test_any_number_is_found_in_any_writing_between_any_bytes(writing, seed, before, after):
    """What stands on the lines around a number never hides it."""
    expect_found(writing, seed, before, after)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@given(st.sampled_from(sorted(WRITINGS)), st.integers(0, 2**32), SURROUNDINGS, SURROUNDINGS)
@settings(max_examples=20_000, deadline=None)
def test_any_number_is_found_in_a_long_search(writing, seed, before, after):
    """The same, for longer."""
    expect_found(writing, seed, before, after)


@given(st.binary(max_size=400))
@settings(max_examples=examples(300), deadline=None)
def test_any_bytes_can_be_searched(block):
    """No bytes make the search raise, and places lie inside the block."""
    for seen in search(block):
        assert 0 <= seen.start < len(block)


@given(st.text("0123456789abcdef-:. ", max_size=300))
@settings(max_examples=examples(300), deadline=None)
def test_any_digits_can_be_searched(text):
    """Digit-heavy text takes every branch and raises nowhere."""
    for seen in search(text.encode()):
        assert len(seen.last_digits) == 4


@given(st.integers(-60, 60), st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=examples(40), deadline=None)
def test_a_number_across_blocks_is_found_once(shift, seed, blocks):
    """A number on the border between two blocks is given once, at its place."""
    number = make_number(Random(seed)).encode()
    place = blocks * BLOCK_BYTES - 8 + shift
    stream = io.BytesIO(b"." * place + b" " + number + b" " + b"." * 5000)

    assert [place + 1] == [offset for offset, _ in search_stream(stream)]
