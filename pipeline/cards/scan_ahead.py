"""Looks at several blocks of a file at once, each in a thread, and gives the answers in order.

What takes the time, automata and whole arrays, runs without the interpreter's lock, so threads do
for one large file what processes would do only for many.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

_THREADS_MAX: Final = 4
"""More would hold more blocks in memory than they save time: reading is one thread's work."""

Block = TypeVar("Block")
Answer = TypeVar("Answer")


def look_ahead(
    look: Callable[[Block], Answer], blocks: Iterable[Block]
) -> Iterator[tuple[Block, Answer]]:
    """Give each block with what `look` says of it, in order; a few are looked at ahead of time."""
    threads = min(_THREADS_MAX, len(os.sched_getaffinity(0)))
    waiting = deque[tuple[Block, "Future[Answer]"]]()
    for block in blocks:
        waiting.append((block, _pool().submit(look, block)))
        if len(waiting) > threads:
            first, answer = waiting.popleft()
            yield first, answer.result()
    for first, answer in waiting:
        yield first, answer.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="scan")
