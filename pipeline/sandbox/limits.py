"""Limits requests a second, by account and address, with a burst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from pipeline.sandbox.refusals import too_many_requests

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESSES_MAX: Final = 10_000
_ROUNDING_S: Final = 1e-9


class Limiter:
    """A bucket for each account and address, refilled evenly.

    Args:
        rate_per_s: Requests a second that every bucket gains.
        burst: Requests that a full bucket holds.
        tells_wait: Whether a refusal carries `Retry-After`; nobody has recorded the real one.
        monotonic: Seconds that never run backwards.
    """

    def __init__(
        self, rate_per_s: float, burst: float, *, tells_wait: bool, monotonic: Callable[[], float]
    ) -> None:
        self._step = 1 / rate_per_s
        self._slack = (burst - 1) * self._step
        self._tells_wait = tells_wait
        self._monotonic = monotonic
        self._full_at: dict[tuple[str, str], float] = {}

    def admit(self, account: str, address: str) -> None:
        """Let the request in.

        Raises:
            Refusal: 429, with the seconds to wait, rounded up, when they are told.
        """
        now = self._monotonic()
        full_at = max(self._full_at.get((account, address), now), now)
        early = full_at - self._slack - now
        if early > _ROUNDING_S:
            raise too_many_requests(max(1, math.ceil(early)) if self._tells_wait else None)
        if len(self._full_at) >= _ADDRESSES_MAX:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        self._full_at[account, address] = full_at + self._step
