"""Gives the time: wall clock for records, monotonic clock for waits, and waits that a stop cuts short."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine


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

    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def milliseconds(clock: Clock) -> int:
    """Give the wall clock's time in whole milliseconds since 1970 (UTC), as the ledger keeps it."""
    return int(clock.now().timestamp() * 1000)


def timestamp(moment: datetime) -> str:
    """Give a moment as `YYYY-MM-DDThh:mm:ssZ`, whole seconds, UTC (RFC 3339)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp_of_ms(moment_ms: int) -> str:
    """Give milliseconds since 1970 in the same form."""
    return timestamp(datetime.fromtimestamp(moment_ms / 1000, UTC))


async def pause(clock: Clock, seconds: float, stopping: asyncio.Event) -> None:
    """Wait that long on the clock, or until the run is to stop."""
    if seconds > 0 and not stopping.is_set():
        await first_of(clock.sleep(seconds), stopping)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something run beside the context, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def first_of(wait: Awaitable[Any], stopping: asyncio.Event) -> None:
    """Wait for something, or until the run is to stop; what is not over then is cancelled."""
    waits = (asyncio.ensure_future(wait), asyncio.ensure_future(stopping.wait()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for unfinished in waits:
            unfinished.cancel()
