"""Different cards are counted exactly, whatever part of their fingerprints may be held at a time."""

import random
from collections import Counter
from hashlib import sha256

import pytest

from pipeline.ledger.shared_cards import SharedCards, count_shared

EDGES = [b"\0" * 16, b"\0" * 15 + b"\1", b"a" * 15 + b"\0", b"\xff" * 16, b"\xff" * 16]


def prints_of(numbers):
    return [sha256(b"%d" % number).digest()[:16] for number in numbers]


def blocks_of(prints, calls):
    def blocks():
        calls.append(1)
        for start in range(0, len(prints), 777):
            yield b"".join(prints[start : start + 777])

    return blocks


def truth(prints):
    times = Counter(prints)
    shared = sum(count for count in times.values() if count > 1)
    return SharedCards(len(prints), len(times), shared, max(times.values(), default=0))


@pytest.mark.parametrize(
    ("rows", "cards", "held"),
    [
        (0, 1, 256),
        (1, 1, 256),
        (256, 256, 256),
        (257, 257, 256),
        (5_000, 3, 256),
        (5_000, 4_000, 256),
        (20_000, 100, 512),
        (20_000, 1_000_000, 1_024),
    ],
)
def test_cards_are_counted_as_if_all_were_held(rows, cards, held):
    """Counts are those of all fingerprints, be they few, many, one for everybody, or at the ends."""
    chance = random.Random(rows + cards)
    prints = EDGES * (rows > 0) + prints_of(
        chance.randrange(cards) if chance.random() < 0.7 else 0 for _ in range(rows)
    )
    calls = []
    assert count_shared(blocks_of(prints, calls), held) == truth(prints)
    # Neither is everything held, nor does a guess make ranges tiny.
    assert truth(prints).distinct <= len(calls) * held
    assert len(calls) <= 2 + 4 * len(prints) // held


def test_fingerprints_that_begin_alike_are_told_apart():
    """A range is cut where fingerprints differ, though all of them lie close together."""
    prints = [bytes(12) + number.to_bytes(4) for number in range(5_000)] * 2
    assert count_shared(blocks_of(prints, []), 256) == SharedCards(10_000, 5_000, 10_000, 2)
