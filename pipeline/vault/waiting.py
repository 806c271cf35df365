"""Waits that a stop cuts short: seconds or a future in, back when either is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pipeline.clock import Clock


async def pause(clock: Clock, seconds: float, stopping: asyncio.Event) -> None:
    """Wait that long on the clock, or until the run is to stop."""
    if seconds > 0 and not stopping.is_set():
        await first_of(clock.sleep(seconds), stopping)


async def first_of(wait: Awaitable[Any], stopping: asyncio.Event) -> None:
    """Wait for something, or until the run is to stop; what is not over then is cancelled."""
    waits = (asyncio.ensure_future(wait), asyncio.ensure_future(stopping.wait()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for unfinished in waits:
            unfinished.cancel()
