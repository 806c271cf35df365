"""Spaces sends evenly and adapts the rate to what the vault bears.

GCRA: one number, the earliest instant of the next send, spaces sends evenly, which a low-limit
vault likes better than a bucket that bursts. The rate has a known ceiling; below it lies the
vault's own limit, which nobody tells. A refusal (429) cuts the rate to 0.85 of where it stood,
and quiet time brings it back along CUBIC's curve (RFC 9438): fast at first, flat around the
refused level, then ever faster. Pure: time comes in as an argument, in monotonic seconds.

The constants were tuned in virtual time (`tests/property/test_send_rate_quota.py` holds the marks):
shorter returns find a risen limit sooner and are refused more often.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

FLOOR_PER_S: Final = 0.2
"""However often the vault refuses, a send every five seconds keeps asking."""

_CUT: Final = 0.85
"""What a refusal leaves of the rate; twice when the cut before did not help."""

_GOOD_BETWEEN_CUTS: Final = 8
"""A refusal after fewer good answers than this means that the cut before did not help."""

_RETURN_S: Final = 4.0
"""Seconds that the way back to the refused level takes at least."""

_RETURN_SENDS: Final = 20.0
"""At low rates the way back takes the time of so many sends, but no more than `_RETURN_MAX_S`."""

_RETURN_MAX_S: Final = 30.0

_RETURN_COSTS: Final = 10.0
"""The way back takes at least so many times what a refusal costs, however long that is."""

_ROUND_TRIPS: Final = 2.0
"""A refusal costs its Retry-After, or so many round trips if they are longer."""

_DOUBLINGS: Final = 4.0
"""Past the refused level by a whole way back, no fixed limit can be near any more: from there on
the rate doubles so often in the time of each further way back."""

_DOUBLINGS_MAX: Final = 64.0
_STRICT_S: Final = 0.1
"""At this interval between sends and above it, a vault that has refused is taken to bear no two
requests that come closer together."""

_SLACK_S: Final = 0.005
"""A send that is late by less is on time: event loops are no more precise."""


class _BeforeCut(NamedTuple):
    """What a cut changes, as it was before, and whose refusal it was."""

    by: int | None
    plateau: float | None
    return_s: float
    quiet_s: float
    rate: float


class AdaptiveRate:
    """Spaces sends and finds the rate that the vault bears.

    Args:
        ceiling_per_s: Never more sends a second than this.
        start_per_s: The level at which an earlier run ended (`good_per_s`), if known.
    """

    def __init__(self, ceiling_per_s: float, *, start_per_s: float | None = None) -> None:
        self._ceiling = ceiling_per_s
        self._floor = min(FLOOR_PER_S, ceiling_per_s)
        self._set_rate(ceiling_per_s)
        self._next_at = self._closed_until = self._asked_at = self._cut_at = float("-inf")
        self._plateau: float | None = None
        self._return_s = _RETURN_S
        self._quiet_s = 0.0
        self._good_since_cut = 0
        self._before_cut: _BeforeCut | None = None
        if start_per_s is not None and start_per_s < ceiling_per_s:
            self._begin_at(start_per_s)

    @property
    def rate_per_s(self) -> float:
        """The rate allowed now."""
        return self._rate

    @property
    def good_per_s(self) -> float | None:
        """The level for the next run to start from; `None` while the ceiling was never refused."""
        return None if self._plateau is None else self._rate

    def earliest(self, now: float) -> float:
        """Give the instant that `reserve` would give, without taking it."""
        return max(now, self._next_at, self._closed_until)

    def reserve(self, now: float) -> float:
        """Give the instant at which one send may leave; it is taken from then on."""
        turn = self.reserve_within(now, math.inf)
        assert turn is not None  # noqa: S101 - none is further away.
        return turn

    def reserve_within(self, now: float, lead_s: float) -> float | None:
        """Give a turn as `reserve` does if it is no further away than that; else take none."""
        turn = max(now, self._next_at, self._closed_until)
        if turn > now + lead_s:
            return None
        if self._plateau is not None:
            self._win_back(now, self._plateau)
        self._next_at = turn + self._interval
        return turn

    def depart(self, turn: float, now: float) -> bool:
        """Say whether a send may leave now in a turn that was reserved before, and take in that it does.

        One interval late is one send too close to the next, which is the burst of two that a
        vault must bear; later than that, or after a Retry-After that came meanwhile, reserve again.
        At a low hidden quota the next send keeps its distance from this one. Elsewhere a late send
        shifts nothing, or every delay of this process would cost quota.
        """
        if now - turn > self._slack_s or now < self._closed_until:
            return False
        if self._plateau is not None and self._interval >= _STRICT_S:
            self._next_at = max(self._next_at, now + self._interval)
        return True

    def succeeded(self, *, sent_at: float) -> None:
        """Take in an answer that was no refusal, to a request that left at `sent_at`."""
        if sent_at >= self._cut_at:
            self._good_since_cut += 1

    def throttled(
        self, now: float, retry_after_s: float | None, *, sent_at: float, by: int | None = None
    ) -> None:
        """Take in a 429.

        Args:
            now: When it came.
            retry_after_s: Seconds that the vault wants to be left alone, if it said so.
            sent_at: When the refused request left; one that left before the last cut is no news
                beyond its `retry_after_s`.
            by: Whose it was, for `take_back`.
        """
        if retry_after_s:
            self.hold_off(now, retry_after_s)
        if sent_at < self._cut_at:
            return
        self._before_cut = _BeforeCut(by, self._plateau, self._return_s, self._quiet_s, self._rate)
        helped = self._good_since_cut >= _GOOD_BETWEEN_CUTS
        self._plateau = self._rate if helped else max(self._rate * _CUT, self._floor)
        cost_s = max(retry_after_s or 0.0, _ROUND_TRIPS * (now - sent_at))
        self._return_s = _patience(self._plateau, cost_s)
        self._quiet_s = 0.0
        self._good_since_cut = 0
        # Turns that were taken at the old rate are no test of the new one.
        self._cut_at = max(now, self._next_at)
        self._set_rate(self._plateau * _CUT)
        self._next_at = max(self._next_at, now + self._interval)

    def take_back(self, by: int) -> None:
        """Forget the last cut if it was this one's: the refusal spoke of nobody else after all.

        A Retry-After that came with it was kept; nobody knew better then.
        """
        before = self._before_cut
        if before is not None and before.by == by:
            self._plateau, self._return_s, self._quiet_s = before[1:4]
            self._set_rate(before.rate)
            self._before_cut = None

    def allow(self, ceiling_per_s: float) -> None:
        """Take in another ceiling: what was learned of the vault's limit is shared alike."""
        part = ceiling_per_s / self._ceiling
        self._ceiling = ceiling_per_s
        self._floor = min(FLOOR_PER_S, ceiling_per_s)
        if self._plateau is not None:
            self._plateau = max(self._plateau * part, self._floor)
        self._set_rate(self._rate * part)

    def stand_by(self, ceiling_per_s: float, good_per_s: float | None) -> None:
        """Take in that others send for it, and what they have found of the vault's limit.

        Args:
            ceiling_per_s: The ceiling of all together.
            good_per_s: Where they stand; None for nothing. Then its own level counts for the whole:
                they all stopped at the first refusals, before any had found its part.
        """
        self._ceiling = ceiling_per_s
        self._floor = min(FLOOR_PER_S, ceiling_per_s)
        if good_per_s is not None:
            self._begin_at(good_per_s)
        else:
            self._set_rate(ceiling_per_s if self._plateau is None else self._rate)

    def _begin_at(self, level: float) -> None:
        self._plateau = max(level, self._floor)
        self._return_s = self._quiet_s = _patience(self._plateau, 0.0)
        self._before_cut = None
        self._set_rate(self._plateau)

    def hold_off(self, now: float, seconds: float) -> None:
        """Send nothing for so many seconds, as a Retry-After demands."""
        self._closed_until = max(self._closed_until, now + seconds)
        self._asked_at = max(self._asked_at, self._closed_until)

    def closed_for_s(self, now: float) -> float:
        """Give for how long nothing may leave, as a Retry-After demanded; 0 for not at all."""
        return max(0.0, self._closed_until - now)

    def _win_back(self, now: float, plateau: float) -> None:
        """Let quiet time raise the rate, counting only time in which the rate held sends back."""
        if now > self._asked_at:
            if now - self._next_at <= self._interval:
                self._quiet_s += min(now - self._asked_at, self._interval)
            self._asked_at = now
        nearness = self._quiet_s / self._return_s - 1.0
        level = 1.0 + (1.0 - _CUT) * min(nearness, 1.0) ** 3
        if nearness > 1.0:
            level *= 2.0 ** min(_DOUBLINGS * (nearness - 1.0), _DOUBLINGS_MAX)
        self._set_rate(plateau * level)

    def _set_rate(self, rate: float) -> None:
        self._rate = min(max(rate, self._floor), self._ceiling)
        self._interval = 1.0 / self._rate
        self._slack_s = max(_SLACK_S, self._interval)


def _patience(plateau: float, cost_s: float) -> float:
    """Give the seconds for the way back to a plateau, when a refusal costs so many."""
    seconds = min(max(_RETURN_S, _RETURN_SENDS / plateau), _RETURN_MAX_S)
    return max(seconds, _RETURN_COSTS * min(cost_s, _RETURN_MAX_S))
