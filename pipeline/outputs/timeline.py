"""Draws throughput and latency over time from every answer of a ledger, in at most 240 steps.

Steps without an answer are left out: between a night's run and the next there is nothing to see.

The quantiles are exact, and no answer is held: answers are gone through twice. The first time they
are counted by steps and by ranges of latency, each a 256th of its power of two. Then it is known in
which range a quantile is, and the second time the latencies of those few ranges alone are counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pipeline.clock import timestamp
from pipeline.ledger.section_figures import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.ledger.snapshot import Snapshot

STEPS_MAX: Final = 240
_STEP_S: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)
"""Each a multiple of the one before, so that shorter steps add up to longer ones."""
_SECONDS_BYTES: Final = 4
_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_ANSWERS_AT_ONCE: Final = 65_536
_LOW_BITS: Final = 15
"""Bits of a latency, as a number of 32 bits with a point, that do not tell ranges apart."""
_FIRST_RANGE: Final = int(np.float32(1).view(np.uint32)) >> _LOW_BITS
_RANGES: Final = (int(np.float32(2**32).view(np.uint32)) >> _LOW_BITS) - _FIRST_RANGE + 1


def timeline(look: Snapshot) -> dict[str, Any]:
    """Give latency over all answers, and answers and latency step by step.

    Returns:
        `by_outcome` counts; `latency_us` with the exact quantiles; and `timeline` with `step_s`
        and `steps`. All are empty where nothing was ever sent.
    """
    steps = _Steps()
    for answers in _blocks(look):
        steps.count(answers)
    whole = steps.whole()
    sought = {step: _sought(counted.ranges) for step, counted in steps.counted.items()}
    sought_of_all = _sought(whole.ranges)
    for answers in _blocks(look):
        for step, here in steps.cut(answers):
            sought[step].show(here)
        sought_of_all.show(answers)
    return {
        "by_outcome": _tally(whole.kinds),
        "latency_us": sought_of_all.quantiles(),
        "timeline": {
            "step_s": steps.step_s,
            "steps": [
                {
                    "at": timestamp(datetime.fromtimestamp(step * steps.step_s, UTC)),
                    "answers": _tally(steps.counted[step].kinds),
                    "latency_us": sought[step].quantiles(),
                }
                for step in sorted(steps.counted)
            ],
        },
    }


class _Answers(NamedTuple):
    """Some answers: when each came, of which kind it is, how long it took, and in what range that is.

    A latency of zero means that nothing came; it is in the range -1.
    """

    at_s: NDArray[np.uint32]
    kinds: NDArray[np.int8]
    latency_us: NDArray[np.uint32]
    ranges: NDArray[np.int32]

    def of(self, places: NDArray[np.intp]) -> _Answers:
        """Give some of them."""
        return _Answers(
            self.at_s[places], self.kinds[places], self.latency_us[places], self.ranges[places]
        )


def _blocks(look: Snapshot) -> Iterator[_Answers]:
    """Give all answers, many together."""
    waiting: list[tuple[NDArray[Any], ...]] = []
    size = 0
    for one in look.answers():
        times_at = (_SECONDS_BYTES + 1) * one.rows
        waiting.append(
            (
                np.frombuffer(one.packed, "<u4", one.rows),
                np.frombuffer(one.packed, np.int8, one.rows, _SECONDS_BYTES * one.rows),
                np.frombuffer(one.packed, "<u4", one.rows, times_at),
            )
        )
        size += one.rows
        if size >= _ANSWERS_AT_ONCE:
            yield _together(waiting)
            waiting, size = [], 0
    if waiting:
        yield _together(waiting)


def _together(columns: list[tuple[NDArray[Any], ...]]) -> _Answers:
    at_s, kinds, latency_us = map(np.concatenate, zip(*columns, strict=True))
    bits = latency_us.astype(np.float32).view(np.int32) >> _LOW_BITS
    return _Answers(at_s, kinds, latency_us, np.where(latency_us, bits - _FIRST_RANGE, -1))


@dataclass
class _Counted:
    """How many answers there are of each kind, and in each range of latency."""

    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(KINDS), np.int64))
    ranges: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(_RANGES, np.uint32))

    def count(self, answers: _Answers) -> None:
        """Count some answers."""
        self.kinds += np.bincount(answers.kinds, minlength=len(KINDS))
        counted = np.bincount(answers.ranges[answers.ranges >= 0])
        self.ranges[: len(counted)] += counted.astype(np.uint32)

    def take(self, other: _Counted) -> None:
        """Count what another has counted."""
        self.kinds += other.kinds
        self.ranges += other.ranges


class _Steps:
    """Counts answers by steps, the shortest of which there are few enough."""

    def __init__(self) -> None:
        self.counted: dict[int, _Counted] = {}
        self._size = 0

    @property
    def step_s(self) -> int:
        """The length of a step."""
        return _STEP_S[self._size]

    def count(self, answers: _Answers) -> None:
        """Count some answers; where that makes too many steps, all are made longer first."""
        seconds = np.unique(answers.at_s)
        while len(
            self.counted.keys() | set(np.unique(seconds // self.step_s).tolist())
        ) > STEPS_MAX and self._size + 1 < len(_STEP_S):
            self._lengthen()
        for step, here in self.cut(answers):
            self.counted.setdefault(step, _Counted()).count(here)

    def cut(self, answers: _Answers) -> Iterator[tuple[int, _Answers]]:
        """Cut answers into those of each step."""
        steps = answers.at_s // self.step_s
        order = np.argsort(steps, kind="stable")
        ordered = steps[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        for start, end in pairwise([*starts.tolist(), len(order)]):
            yield int(ordered[start]), answers.of(order[start:end])

    def whole(self) -> _Counted:
        """Count the answers of all steps."""
        together = _Counted()
        for counted in self.counted.values():
            together.take(counted)
        return together

    def _lengthen(self) -> None:
        ratio = _STEP_S[self._size + 1] // self.step_s
        self._size += 1
        shorter, self.counted = self.counted, {}
        for step, counted in shorter.items():
            self.counted.setdefault(step // ratio, _Counted()).take(counted)


class _Sought:
    """Finds quantiles, once it is known of each in which range it is, and how many are before it.

    Args:
        places: By the quantile's name, the range, and its place among the latencies of that.
    """

    def __init__(self, places: dict[str, tuple[int, int]]) -> None:
        self._places = places
        self._times: dict[int, Counter[int]] = {at: Counter() for at, _ in places.values()}

    def show(self, answers: _Answers) -> None:
        """Take in some answers."""
        for at, times in self._times.items():
            values, counts = np.unique(answers.latency_us[answers.ranges == at], return_counts=True)
            times.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def quantiles(self) -> dict[str, int]:
        """Give the quantiles of what was answered."""
        return {name: _at(self._times[at], place) for name, (at, place) in self._places.items()}


def _sought(ranges: NDArray[np.uint32]) -> _Sought:
    """Say where the quantiles are to be found."""
    up_to = np.cumsum(ranges, dtype=np.int64)
    answered = int(up_to[-1])
    if not answered:
        return _Sought({})
    places = {}
    for name, share in _QUANTILES:
        place = int(share * (answered - 1))
        at = int(np.searchsorted(up_to, place, side="right"))
        places[name] = at, place - (int(up_to[at - 1]) if at else 0)
    return _Sought(places)


def _at(times: Counter[int], place: int) -> int:
    """Give the number at a place of all, in order."""
    values = sorted(times)
    up_to = np.cumsum([times[value] for value in values])
    return values[int(np.searchsorted(up_to, place, side="right"))]


def _tally(kinds: NDArray[np.int64]) -> dict[str, int]:
    return {kind: n for kind, n in zip(KINDS, kinds.tolist(), strict=True) if n}
