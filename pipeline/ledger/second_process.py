"""Lets a second process work things out beside this one, where there is a processor for it.

It is given functions and what they are to be called with, reads the ledger's file while this process
holds it, and hands back what they return. Nothing depends on it: what it did not do is done here, and
where it fails nobody is told.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline import __version__
from pipeline.child_process import start_child
from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection as Line

    from sqlalchemy import Connection

_AHEAD: Final = 3
"""How far ahead of this process the other one may be, where each makes every other thing."""
_PATIENCE_S: Final = 30
"""Each thing takes a tenth of a second; who is silent for so long will not answer any more."""
_END_S: Final = 5

_PACKAGE_PARENT: Final = str(Path(__file__).resolve().parents[2])
_START: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from pipeline.startup import prepare; prepare(); "
    "from importlib import import_module; import_module(sys.argv[2]).main(*sys.argv[3:])"
)
_CHILD: Final = "pipeline.ledger.sqlite.second_child"
_KEPT_ENVIRONMENT: Final = (
    *("LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),  # Our suite measures the child too.
)
"""What the child needs of our environment; the vault's keys are not among it."""

ANEW: Final = None
"""Tells the process that what it is asked from now on is of another state of the ledger."""


class SecondProcess:
    """A process that works things out, from when it may be needed until it was.

    Args:
        file: The ledger's own file; None where it has none, and nobody can help.
        child: The module that runs in it.
        patience_s: How long it may be silent, or take to end; default: long.
    """

    def __init__(
        self, file: Path | None, child: str = _CHILD, patience_s: int | None = None
    ) -> None:
        self._file = file
        self._module = child
        self._patience_s = _PATIENCE_S if patience_s is None else patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self.line: Line | None = None
        """To the process; None if there is none."""
        self.made_early: dict[tuple[Any, ...], Any] = {}
        """What calls return that were made before their time (`early_sections`)."""

    def start(self, *modules: str) -> None:
        """Start the process, if there is none and it can be.

        Args:
            modules: What it will be asked for needs these, and it loads them meanwhile.
        """
        if self._file is None or self._child is not None or _processors() < 2:  # noqa: PLR2004
            return
        # What is loaded for it cannot be, either, without a descriptor or memory.
        with suppress(OSError, ImportError, MemoryError, LocalStorageFailed):
            self.line, self._child = self._started(self._file, modules)

    def read_anew(self) -> None:
        """Have it see the ledger as it is now."""
        self.tell(ANEW)

    def tell(self, message: object) -> None:
        """Let it know something, which it may answer."""
        if self.line is not None:
            try:
                self.line.send(message)
            except OSError:
                self.hang_up()

    def answer(self) -> Any:
        """Wait for what it answers; None where nobody does."""
        if self.line is not None:
            try:
                return self.line.recv()
            except (EOFError, OSError):
                self.hang_up()
        return None

    def by_turns(self, connection: Connection, asked: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Give in order what calls return, every other one made in the process, which ends then.

        Those that were made early are made by nobody again.

        Args:
            connection: A reading connection, which stays as it is until the end; functions are
                called with it, and in the process with one to the same state.
            asked: The calls: a function of a module, and what it takes behind a connection.
        """
        new = [place for place, call in enumerate(asked) if call not in self.made_early]
        theirs, given = deque(new[1::2]), deque[int]()
        self.read_anew()
        for place, call in enumerate(asked):
            while theirs and theirs[0] <= place + _AHEAD:
                given.append(theirs.popleft())
                self.tell(asked[given[-1]])
            made = self.made_early.pop(call, None)
            if given and given[0] == place:
                given.popleft()
                made = self.answer()
            if not (theirs or given):
                # Nothing else follows, and it takes a while to end.
                self.hang_up()
            if made is None:
                work, *arguments = call
                made = work(connection, *arguments)
            yield made

    def _started(self, file: Path, modules: Sequence[str]) -> tuple[Line, subprocess.Popen[bytes]]:
        """Start the process; it holds no secret, writes nothing, and ends when our end is closed."""
        from multiprocessing.connection import Connection  # noqa: PLC0415 - most commands do without.

        ours, theirs = socket.socketpair()
        with ours, theirs:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", self._patience_s, 0))
            arguments = [_PACKAGE_PARENT, self._module, str(file.absolute()), __version__, *modules]
            child = start_child(
                [sys.executable, "-IB", "-c", _START, *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                environment={n: os.environ[n] for n in _KEPT_ENVIRONMENT if n in os.environ},
            )
            return Connection(ours.detach()), child

    def hang_up(self) -> None:
        """Ask nothing any more; the process ends by itself."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def kill(self) -> None:
        """End the process at once, from whichever thread; it is lost for whoever asks it."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the process, if there is one."""
        self.hang_up()
        if self._child is None:
            return
        try:
            self._child.wait(min(_END_S, self._patience_s))
        except subprocess.TimeoutExpired:
            self._child.kill()
            with suppress(subprocess.TimeoutExpired):
                # One that is given no processor does not end either, and does nothing more.
                self._child.wait(self._patience_s)
        self._child = None


def _processors() -> int:
    return len(os.sched_getaffinity(0))
