"""Has sections worked out by a second process beside this one, where there are many.

The other process takes blocks of sections from the end and hands back what it found; this one works
from the front and writes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pipeline.ledger.section_work import work_out

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pipeline.ledger.second_process import SecondProcess
    from pipeline.ledger.section_work import Block, SectionQueue, Worked

FEW: Final = 30
"""So much work of sections pays for a process that stands ready; about half as many sections."""
MANY: Final = 400
"""So much pays for starting one, too: that takes as long as a quarter of it."""

_AHEAD: Final = 2
"""Blocks that the other process has been given: while one is handed over it works on the next."""
_BLOCK_MIN: Final = 2
_BLOCK_MAX: Final = 8
_ALONE: Final = 64


def helping(process: SecondProcess, queue: SectionQueue) -> Help:
    """Have what is in a queue worked out by the process, too.

    Args:
        process: It is started where that pays.
        queue: What is to be worked out. The ledger is held by a transaction of the caller's.
    """
    if len(queue) >= MANY:
        process.start()
    process.read_anew()
    return Help(queue, process, is_asked=len(queue) >= FEW)


class Help:
    """What a process does of a queue.

    Args:
        queue: What is to be worked out.
        process: The process.
        is_asked: Whether it is to do anything.
    """

    def __init__(self, queue: SectionQueue, process: SecondProcess, *, is_asked: bool) -> None:
        self._queue = queue
        self._process = process
        self._line = process.line if is_asked else None
        self._given: deque[Block] = deque()

    @property
    def is_awaited(self) -> bool:
        """Whether the process still has to answer."""
        return bool(self._given)

    @property
    def size(self) -> int:
        """How many sections to work out next: fewer towards the end, as one may wait for the other."""
        if self._line is None:
            return _ALONE
        return max(_BLOCK_MIN, min(_BLOCK_MAX, len(self._queue) // 8))

    def answers(self) -> list[Worked]:
        """Give what the process has worked out by now, and waits for it where nothing else is left.

        What a process that is lost was given goes back into the queue.
        """
        got: list[Worked] = []
        if self._line is None:
            return got
        try:
            self._give(self._line)
            while self._given and (not self._queue or self._line.poll()):
                got.append(self._line.recv())
                self._given.popleft()
                self._give(self._line)
        except (EOFError, OSError):
            self._queue.put_back(self._given)
            self._given.clear()
            self._line = None
            # What it says late would be taken for the answer to something else.
            self._process.hang_up()
        return got

    def _give(self, line: Connection) -> None:
        while len(self._given) < _AHEAD:
            block = self._queue.from_back(self.size)
            if block is None:
                return
            self._given.append(block)
            line.send((work_out, block))
