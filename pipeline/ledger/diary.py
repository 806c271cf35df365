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
        self._entry: Limits | None = None

    def count(self, settled: Sequence[Settlement]) -> None:
        """Count outcomes that have become durable, for the next entry."""
        self._outcomes.update([item.kind.value for item in settled])

    def is_due(self) -> bool:
        """Tell whether the next commit is to hold an entry."""
        return (
            self._outcomes.total() >= OUTCOMES_AN_EVENT
            or self._news(self._ledger.now_ms()) is not None
        )

    def enter(self, connection: Connection) -> None:
        """Write an entry in the caller's transaction; `entered` takes note that it is durable."""
        self._write(connection, self._news(self._ledger.now_ms()))

    def entered(self) -> None:
        """Take note that the entry is durable: what it told is not told again."""
        self._outcomes.clear()
        if self._entry is not None:
            self._told, self._told_ms = self._entry, self._ledger.now_ms()

    def close(self) -> None:
        """Write what has not been written yet.

        Raises:
            LocalStorageFailed: The disk refused, now or before.
        """
        limits = self._limits()
        changed = limits if limits != self._told else None
        if not self._outcomes and changed is None:
            return
        with self._ledger.transaction() as connection:
            self._write(connection, changed)
        self.entered()

    def _news(self, ms: int) -> Limits | None:
        """Give the limits in force if they are worth an entry by now."""
        now, before = self._limits(), self._told
        if before is None or now.breaker != before.breaker:
            return now
        if now == before:
            return None
        moved = abs(now.rate_per_s - before.rate_per_s) > _SAME_RATE * before.rate_per_s
        # A wall clock that was set back must not silence the trail.
        due = abs(ms - self._told_ms) >= _LIMITS_AT_MOST_EVERY_MS
        return now if due and (moved or now.in_flight != before.in_flight) else None

    def _write(self, connection: Connection, limits: Limits | None) -> None:
        self._entry = limits
        if self._outcomes:
            counted: dict[str, Any] = {"outcomes": self._outcomes.total(), **self._outcomes}
            self._record(connection, "outcomes_settled", counted)
        if limits is not None:
            told = limits._asdict() | {"rate_per_s": f"{limits.rate_per_s:.3f}"}
            self._record(connection, "limits_changed", told)

    def _record(self, connection: Connection, kind: str, detail: dict[str, Any]) -> None:
        self._ledger.record(connection, kind, resource=self._ledger.run_id, **detail)
