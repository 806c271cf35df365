"""Enters into the trail what became of sends: outcomes by the thousand, limits as they change.

An event for every outcome would make the trail as long as the ledger, which keeps each outcome
anyway; a count for every thousand ties them to the chain of events while the run goes on. With
them goes the rate that the vault bore, so that a run that is killed leaves it to the next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.ledger.key_values import put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import Settlement
    from pipeline.metrics import Flow

LAST_GOOD_RATE: Final = "rate_last_good"
"""Under this name the ledger keeps the rate for the next run to start from."""

OUTCOMES_AN_EVENT: Final = 1_000
_LIMITS_AT_MOST_EVERY_MS: Final = 10_000
_SAME_RATE: Final = 0.1
"""A rate that moved by a smaller share is the same rate to whoever reads the trail."""


class Limits(NamedTuple):
    """What stood between the rows and the vault at some moment."""

    rate_per_s: float
    in_flight: int
    breaker: str


@dataclass(frozen=True, slots=True)
class DueEvent:
    """What the trail is to learn next: outcomes by kind, if they are due, and limits, if new."""

    outcomes: Mapping[str, int]
    limits: Limits | None


class RunEvents:
    """Enters into the trail what a run's sending came to.

    Args:
        ledger: The open ledger of the run.
        flow: The run's figures: the limits in force are read here, commits are counted here.
        good_rate: Gives the rate for the next run to start from; None while the ceiling holds.
    """

    def __init__(
        self,
        ledger: Ledger,
        flow: Flow,
        good_rate: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._flow = flow
        self._good_rate = good_rate
        self._outcomes: Counter[str] = Counter()
        self._told: Limits | None = None
        self._told_ms = 0

    def committed(self, settled: Sequence[Settlement], took_s: float) -> None:
        """Count a commit, and the outcomes that became durable in it for the next entry."""
        self._flow.commits.add(took_s)
        self._outcomes.update([item.kind._value_ for item in settled])

    def count(self, kinds: Mapping[str, int]) -> None:
        """Count outcomes that carriers have told of, by kind, for the next entry."""
        self._outcomes.update(kinds)

    def enter_if_due(self) -> None:
        """Write what is due in a transaction of its own."""
        at_ms = self._ledger.now_ms()
        if (entry := self.due(at_ms)) is not None:
            self._enter_alone(entry)
            self.entered(entry, at_ms)

    def due(self, at_ms: int) -> DueEvent | None:
        """Give the entry that the commit of this moment is to hold, or None."""
        limits = self._news(at_ms)
        if self._outcomes.total() >= OUTCOMES_AN_EVENT:
            return DueEvent(dict(self._outcomes), limits)
        return None if limits is None else DueEvent({}, limits)

    def enter(self, connection: Connection, entry: DueEvent) -> None:
        """Write an entry, and the rate that is good by now, in the caller's transaction."""
        if entry.outcomes:
            self._record(
                connection,
                "outcomes_settled",
                {"outcomes": sum(entry.outcomes.values()), **entry.outcomes},
            )
        if entry.limits is not None:
            rate = f"{entry.limits.rate_per_s:.3f}"
            self._record(
                connection, "limits_changed", entry.limits._asdict() | {"rate_per_s": rate}
            )
        put(connection, LAST_GOOD_RATE, repr(self._good_rate()))

    def entered(self, entry: DueEvent, at_ms: int) -> None:
        """Take note that an entry is durable: what it told is not told again."""
        self._outcomes.subtract(entry.outcomes)
        self._outcomes = +self._outcomes
        if entry.limits is not None:
            self._told, self._told_ms = entry.limits, at_ms

    def close(self) -> None:
        """Write what has not been written yet.

        Raises:
            LocalStorageFailed: The disk refused, now or before.
        """
        limits = self._limits()
        entry = DueEvent(dict(self._outcomes), limits if limits != self._told else None)
        self._enter_alone(entry)
        self.entered(entry, self._ledger.now_ms())

    def _enter_alone(self, entry: DueEvent) -> None:
        def enter() -> None:
            with self._ledger.transaction() as connection:
                self.enter(connection, entry)

        self._ledger.again(enter)

    def _limits(self) -> Limits:
        flow = self._flow
        return Limits(flow.rate_allowed, flow.in_flight_limit, flow.breaker)

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

    def _record(self, connection: Connection, kind: str, detail: Mapping[str, Any]) -> None:
        self._ledger.record(connection, kind, resource=self._ledger.run_id, **detail)
