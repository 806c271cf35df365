"""Logs what happens to a run while it sends: every change of rate, slots and breaker."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.clock import beside
from pipeline.logs import EventLog, Word
from pipeline.metrics import Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pipeline.clock import Clock
    from pipeline.metrics import Flow

log = EventLog("flow")

_LOOK_EVERY_S: Final = 0.5
_FIGURES_EVERY_S: Final = 60.0
_SAME_RATE: Final = 0.1
"""A rate that moved by a smaller share is the same rate to whoever reads the log."""


class FlowLog:
    """Listens to a run and writes what changes into the log."""

    @contextmanager
    def reading(self, name: str) -> Iterator[Counter]:  # noqa: ARG002 - names are told once planned.
        """Count the rows of an export that is being read, for developers."""
        yield _ReadRows()

    @asynccontextmanager
    async def sending(self, flow: Flow, clock: Clock) -> AsyncIterator[None]:
        """Log every change of the flow, its figures once a minute, and once at the end."""
        try:
            async with beside(_follow(flow, clock)):
                yield
        finally:
            _tell_figures("sending ended", flow)


class _ReadRows(Counter):
    def __init__(self) -> None:
        self._rows = 0

    def add(self, rows: int) -> None:
        self._rows += rows
        log.debug("rows read", rows=self._rows)


async def _follow(flow: Flow, clock: Clock) -> None:
    rate, slots, opened, breaker = flow.rate_allowed, flow.in_flight_limit, 0, "closed"
    told_at = clock.monotonic()
    while True:
        if flow.breaker != breaker or flow.breaker_opened != opened:
            breaker, opened = flow.breaker, flow.breaker_opened
            log.warning("circuit breaker changed", state=Word(breaker), opened=opened)
        if abs(flow.rate_allowed - rate) > _SAME_RATE * max(rate, flow.rate_allowed):
            log.info("allowed rate changed", before_per_s=rate, now_per_s=flow.rate_allowed)
            rate = flow.rate_allowed
        if flow.in_flight_limit != slots:
            log.info("slots changed", before=slots, now=flow.in_flight_limit)
            slots = flow.in_flight_limit
        if clock.monotonic() - told_at >= _FIGURES_EVERY_S:
            told_at = clock.monotonic()
            _tell_figures("progress", flow)
        await clock.sleep(_LOOK_EVERY_S)


def _tell_figures(event: str, flow: Flow) -> None:
    log.info(
        event,
        settled=flow.settled,
        of=flow.total,
        failures=flow.failures,
        throttled=flow.throttled,
        retries=flow.retries,
        ambiguous=flow.ambiguous,
    )
