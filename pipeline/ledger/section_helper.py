"""Lets a second process work sections out beside this one, where there are many and it has a processor.

The other process reads the ledger's file while this one holds it in a transaction, takes blocks of
sections from the end and hands back what it found; this one works from the front and writes.
Nothing depends on it: what it did not do is done here, and where it fails nobody is told.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import __version__
from pipeline.child_process import start_child
from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from pipeline.ledger.section_work import Block, SectionQueue, Worked

FEW: Final = 30
"""So much work of sections pays for a process that stands ready; about half as many sections."""
MANY: Final = 400
"""So much pays for starting one, too: that takes as long as a quarter of it."""
_ROWS_EXPECTED: Final = 50_000
"""So many new rows pay for starting one while the last of them are still being sent."""

_AHEAD: Final = 2
"""Blocks that the other process has been given: while one is handed over it works on the next."""
_BLOCK_MIN: Final = 2
_BLOCK_MAX: Final = 8
_ALONE: Final = 64
_PATIENCE_S: Final = 30
"""A block takes a tenth of a second; who is silent for so long will not answer any more."""
_END_S: Final = 5

_PACKAGE_PARENT: Final = str(Path(__file__).resolve().parents[2])
_START: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from pipeline.startup import prepare; prepare(); "
    "from pipeline.ledger.sqlite.section_child import main; main(*sys.argv[2:])"
)
_KEPT_ENVIRONMENT: Final = (
    *("LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),  # Our suite measures the child too.
)
"""What the child needs of our environment; the vault's keys are not among it."""


class SectionHelper:
    """A process that works sections out, from when it may be needed until it was.

    Args:
        file: The ledger's own file; None where it has none, and nobody can help.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._child: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def expect(self, rows: int) -> None:
        """Start the process where so many rows were written: their sections are wanted shortly."""
        if rows >= _ROWS_EXPECTED:
            self._start()

    @contextmanager
    def helping(self, queue: SectionQueue) -> Iterator[Help]:
        """Have what is in a queue worked out by the process, too; it ends afterwards.

        Args:
            queue: What is to be worked out. The ledger is held by a transaction of the caller's.
        """
        if len(queue) >= MANY:
            self._start()
        try:
            yield Help(queue, self._line if len(queue) >= FEW else None)
        finally:
            self._hang_up()

    def close(self) -> None:
        """End the process, if there is one."""
        self._hang_up()
        if self._child is None:
            return
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def _start(self) -> None:
        if self._file is None or self._child is not None or _processors() < 2:  # noqa: PLR2004
            return
        with suppress(OSError, LocalStorageFailed):
            self._line, self._child = _started(self._file)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class Help:
    """What a process does of a queue.

    Args:
        queue: What is to be worked out.
        line: To the process; None if there is none.
    """

    def __init__(self, queue: SectionQueue, line: Connection | None) -> None:
        self._queue = queue
        self._line = line
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
        return got

    def _give(self, line: Connection) -> None:
        while len(self._given) < _AHEAD:
            block = self._queue.from_back(self.size)
            if block is None:
                return
            self._given.append(block)
            line.send(block)


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _started(file: Path) -> tuple[Connection, subprocess.Popen[bytes]]:
    """Start the process; it holds no secret, writes nothing, and ends when our end is closed."""
    from multiprocessing.connection import Connection  # noqa: PLC0415 - most commands do without.

    ours, theirs = socket.socketpair()
    with ours, theirs:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _PATIENCE_S, 0))
        arguments = [_PACKAGE_PARENT, str(file.absolute()), __version__]
        child = start_child(
            [sys.executable, "-IB", "-c", _START, *arguments],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            environment={n: os.environ[n] for n in _KEPT_ENVIRONMENT if n in os.environ},
        )
        return Connection(ours.detach()), child
