"""Stops sending to a vault that fails, and tries it again with one request at a time.

One for all rows, because an outage is the vault's and not a row's. Closed, it counts; open, it
lets nothing through for a while; half open, it lets exactly one row through as a probe, an
ordinary row whose outcome counts like any other. Pure: monotonic seconds come in as arguments.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

RUN_MAX: Final = 10
"""So many failures in a row open the breaker."""

_WINDOW: Final = 40
_FAILED_MAX: Final = 20
"""A failure opens the breaker, too, when more than 20 of the last 40 answers were failures."""

_WINDOW_MASK: Final = (1 << _WINDOW) - 1

OPEN_S: Final = 30.0
OPEN_MAX_S: Final = 50.0
"""The first pause, doubled after each failed probe; capped so that a vault that recovers is
noticed within two minutes, although the rows that may probe are in a backoff of up to a minute."""

_ASK_AGAIN_S: Final = 0.5


class BreakerState(Enum):
    """What the breaker lets through: all, nothing, one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Judges the vault by its answers and knows since when it has been out."""

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.opened = 0
        self._recent = 0
        self._run = 0
        self._pause_s = OPEN_S
        self._opened_at = float("-inf")
        self._out_since: float | None = None
        self._probing = False

    @property
    def is_untroubled(self) -> bool:
        """Whether no failure is remembered, so that a success changes nothing."""
        return not self._recent and self._out_since is None and self.state is BreakerState.CLOSED

    def permit(self, now: float) -> bool:
        """Say whether one request may leave now.

        A permit that is not used must be given back with `withdrawn`, or a half-open breaker
        waits for its probe for ever.
        """
        if self.state is BreakerState.CLOSED:
            return True
        if self.wait_s(now) > 0:
            return False
        self.state = BreakerState.HALF_OPEN
        self._probing = True
        return True

    def wait_s(self, now: float) -> float:
        """Give the seconds after which it is worth asking for a permit again; 0 for now."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        if self._probing:
            return _ASK_AGAIN_S
        return max(0.0, self._opened_at + self._pause_s - now)

    def succeeded(self, *, sent_at: float) -> None:
        """Take in an answer that shows the vault at work, a rejected card included."""
        if self.is_untroubled:
            return
        if self._is_stale(sent_at):
            return
        self._out_since = None
        self._heal()

    def throttled(self, now: float, *, sent_at: float) -> None:
        """Take in a 429: the vault is there, so the breaker closes, but nothing was done."""
        if self._is_stale(sent_at):
            return
        if self._out_since is None:
            self._out_since = now
        self._heal()

    def failed(self, now: float, *, sent_at: float) -> None:
        """Take in a 5xx, an ambiguous answer, or a vault that could not be reached."""
        if self._is_stale(sent_at):
            return
        if self._out_since is None:
            self._out_since = now
        if self.state is BreakerState.HALF_OPEN:
            self._pause_s = min(2 * self._pause_s, OPEN_MAX_S)
            self._open(now)
            return
        self._run += 1
        self._recent = (self._recent << 1 | 1) & _WINDOW_MASK
        if self._run >= RUN_MAX or self._recent.bit_count() > _FAILED_MAX:
            self._pause_s = OPEN_S
            self._open(now)

    def withdrawn(self) -> None:
        """Take a permit back that was not used."""
        self._probing = False

    def outage_s(self, now: float) -> float:
        """Give how long nothing has been done for us although we asked; 0 while all is well."""
        return 0.0 if self._out_since is None else now - self._out_since

    def _open(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self.opened += 1
        self._opened_at = now
        self._probing = False

    def _heal(self) -> None:
        if self.state is BreakerState.CLOSED:
            self._run = 0
            self._recent = self._recent << 1 & _WINDOW_MASK
            return
        self.state = BreakerState.CLOSED
        self._probing = False
        self._run = self._recent = 0

    def _is_stale(self, sent_at: float) -> bool:
        """Whether this answers a request that left before the breaker opened, and so tells nothing new."""
        return sent_at < self._opened_at
