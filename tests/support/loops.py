"""Both event loops that the pipeline must work on: production's and the library's."""

from __future__ import annotations

import asyncio

import uvloop

RUNNERS = (asyncio.run, uvloop.run)


def name_of(runner: object) -> str:
    return runner.__module__.partition(".")[0]
