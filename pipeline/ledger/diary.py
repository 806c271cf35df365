"""What became of sends in, events for the trail out: outcomes by the thousand, limits as they change.

An event for every outcome would make the trail as long as the ledger, which keeps each outcome
anyway; a count for every thousand ties them to the chain of events while the run goes on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.entries import Settlement
    from pipeline.ledger.ledger import Ledger

OUTCOMES_AN_EVENT: Final = 1_000
_LIMITS_AT_MOST_EVERY_MS: Final = 10_000
_SAME_RATE: Final = 0.1
"""A rate that moved by a smaller share is the same rate to whoever reads the trail."""


class Limits(NamedTuple):
    """What stood between the rows and the vault at some moment."""

    rate_per_s: float
    in_flight: int
    breaker: str


class Diary:
    """Enters into the trail what a run's sending came to.

    Args:
        ledger: The open ledger of the run.
        limits: Gives the limits in force.
    """

    def __init__(self, ledger: Ledger, limits: Callable[[], Limits]) -> None:
        self._ledger = ledger
        self._limits = limits
        self._outcomes: Counter[str] = Counter()
        self._told: Limits | None = None
        self._told_ms = 0

    def enter(self, connection: Connection, settled: Sequence[Settlement]) -> None:
        """Count a batch in the transaction that makes it durable, and write what is due."""
        self._outcomes.update(item.kind.value for item in settled)
        if self._outcomes.total() >= OUTCOMES_AN_EVENT:
            self._write_outcomes(connection)
        limits, ms = self._limits(), self._ledger.now_ms()
        if self._is_news(limits, ms):
            self._write_limits(connection, limits, ms)

    def close(self) -> None:
        """Write what has not been written yet.

        Raises:
            LocalStorageFailed: The disk refused, now or before.
        """
        limits = self._limits()
        if not self._outcomes and limits == self._told:
            return
        with self._ledger.transaction() as connection:
            if self._outcomes:
                self._write_outcomes(connection)
            if limits != self._told:
                self._write_limits(connection, limits, self._ledger.now_ms())

    def _is_news(self, now: Limits, ms: int) -> bool:
        before = self._told
        if before is None or now.breaker != before.breaker:
            return True
        moved = abs(now.rate_per_s - before.rate_per_s) > _SAME_RATE * before.rate_per_s
        # A wall clock that was set back must not silence the trail.
        due = abs(ms - self._told_ms) >= _LIMITS_AT_MOST_EVERY_MS
        return due and (moved or now.in_flight != before.in_flight)

    def _write_outcomes(self, connection: Connection) -> None:
        counted: dict[str, Any] = {"outcomes": self._outcomes.total(), **self._outcomes}
        self._ledger.record(connection, "outcomes_settled", resource=self._ledger.run_id, **counted)
        self._outcomes.clear()

    def _write_limits(self, connection: Connection, limits: Limits, ms: int) -> None:
        self._ledger.record(
            connection,
            "limits_changed",
            resource=self._ledger.run_id,
            rate_per_s=f"{limits.rate_per_s:.3f}",
            in_flight=limits.in_flight,
            breaker=limits.breaker,
        )
        self._told, self._told_ms = limits, ms
