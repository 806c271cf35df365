"""Counts different cards by the vault's fingerprints, exactly, and holds but some of them at a time.

Fingerprints are gone through several times where there are many: each time those within a range are
held, and sorted. They are digests, so that any range has its share of them; where a guess was wrong,
the range is cut as soon as too many are held. A fingerprint that very many cards have would make any
range too full: it is held once, with a count.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_HELD_AT_ONCE: Final = 1 << 20
_OFTEN: Final = 64
"""Whatever makes up this part of all that is held is counted apart."""
_ALIKE_BYTES: Final = 16
_SPACE: Final = 1 << (8 * _ALIKE_BYTES)


class SharedCards(NamedTuple):
    """How many tokens have a fingerprint, how many there are, and how many tokens share theirs.

    Attributes:
        with_fingerprint: Tokens whose card's fingerprint is known.
        distinct: Different fingerprints.
        shared: Tokens whose fingerprint another one has, too.
        most: Tokens of the fingerprint that has most of them.
    """

    with_fingerprint: int = 0
    distinct: int = 0
    shared: int = 0
    most: int = 0


def count_shared(
    prints: Callable[[], Iterable[bytes]], held_at_once: int = _HELD_AT_ONCE
) -> SharedCards:
    """Count different fingerprints.

    Args:
        prints: Gives all of them, 16 bytes each and many together; it is called once a range.
        held_at_once: How many may be held.
    """
    held = np.empty(held_at_once, f"S{_ALIKE_BYTES}")
    first, end, found = 0, _SPACE, SharedCards()
    while first < _SPACE:
        one = _Range(held, first, end)
        for block in prints():
            one.add(block)
        here = one.counted()
        found = SharedCards(
            found.with_fingerprint + here.with_fingerprint,
            found.distinct + here.distinct,
            found.shared + here.shared,
            max(found.most, here.most),
        )
        # Three quarters of what there is room for, so that chance does not cut the next range.
        width = (one.end - first) * (held_at_once * 3 // 4) // max(here.with_fingerprint, 1)
        first, end = one.end, min(one.end + width + 1, _SPACE)
    return found


class _Range:
    """Counts the fingerprints from one to another; the end comes nearer where they are too many."""

    def __init__(self, held: NDArray[np.bytes_], first: int, end: int) -> None:
        self._held, self._size = held, 0
        self._first = _border(first) if first else None
        self._end = _border(end) if end < _SPACE else None
        self.end = end
        self._often = Counter[bytes]()

    def add(self, block: bytes) -> None:
        """Take in some fingerprints."""
        found = np.frombuffer(block, self._held.dtype)
        if self._first is not None:
            found = found[found >= self._first]
        while len(found):
            if self._end is not None:
                found = found[found < self._end]
            if self._size == len(self._held):
                self._make_room()
                continue
            taken = found[: len(self._held) - self._size]
            self._held[self._size : self._size + len(taken)] = taken
            self._size += len(taken)
            found = found[len(taken) :]

    def counted(self) -> SharedCards:
        """Give the counts."""
        places, times = self._runs()
        if self._often:
            for place, value in enumerate(self._held[places].tolist()):
                times[place] += self._often.pop(value, 0)
        often = np.array(list(self._often.values()), np.int64)
        times = np.concatenate([times, often])
        return SharedCards(
            int(times.sum()),
            len(times),
            int(times[times > 1].sum()),
            int(times.max(initial=0)),
        )

    def _runs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Sort what is held; give where each different one begins, and how often it is there."""
        held = self._held[: self._size]
        held.sort()
        is_other = np.ones(self._size, bool)
        np.not_equal(held[1:], held[:-1], out=is_other[1:])
        places = np.flatnonzero(is_other)
        return places, np.diff(places, append=self._size)

    def _make_room(self) -> None:
        """Hold once what is there often; where that is not enough, leave the upper half for later."""
        places, times = self._runs()
        is_often = times * _OFTEN >= self._size
        for value, count in zip(
            self._held[places[is_often]].tolist(), times[is_often].tolist(), strict=True
        ):
            self._often[value] += count
        kept = self._held[: self._size][~np.repeat(is_often, times)]
        self._size = len(kept)
        self._held[: self._size] = kept
        if self._size > len(self._held) // 2:
            border = kept[self._size // 2]
            self._end = border
            self.end = int.from_bytes(bytes(border).ljust(_ALIKE_BYTES, b"\0"))
            self._size = int(np.searchsorted(kept, border))
            self._often = Counter({v: n for v, n in self._often.items() if v < bytes(border)})


def _border(number: int) -> np.bytes_:
    return np.bytes_(number.to_bytes(_ALIKE_BYTES))
