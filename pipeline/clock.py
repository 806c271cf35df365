"""Time as an argument: wall clock for records, monotonic clock for waits, and the waits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the pipeline knows of time; tests pass a virtual one."""

    def now(self) -> datetime:
        """Give the wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never run backwards, for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of monotonic time."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Give the wall clock's time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it.

    def monotonic(self) -> float:
        """Give `time.monotonic()`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def timestamp(moment: datetime) -> str:
    """Give a moment as `YYYY-MM-DDThh:mm:ssZ`, whole seconds, UTC (RFC 3339)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
