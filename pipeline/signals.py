"""Turns a stopping signal into `Interrupted`, but never in the middle of a commit.

A Python signal handler may raise between any two instructions. Raised inside a commit it would
leave this process in doubt about what its own ledger holds, so there it waits for the end of it.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn

from pipeline.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_STOPPING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stopping_signals() -> tuple[signal.Signals, ...]:
    """Give the signals that stop a run.

    SIGHUP, a closed terminal, is none of them where the process was started to ignore it (nohup).
    """
    return tuple(
        number
        for number in _STOPPING_SIGNALS
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    )


_LAST_WORDS: Final = b"\x1b[?25h\nstopped at once; the next run settles what was under way\n"
"""Shows the cursor again, which a live line hides, and leaves that line."""


def end_at_once(number: int) -> NoReturn:
    """End this process by the second stopping signal; a terminal is left as it was found.

    Rows in flight become ambiguous; the next run counts and settles them.

    Args:
        number: The signal.
    """
    with suppress(OSError):
        # A terminal that was held with Ctrl-S takes nothing, and must not keep the process.
        if os.isatty(2) and select.select([], [2], [], 0)[1]:
            os.write(2, _LAST_WORDS)
    os._exit(128 + number)


class DeferredSignals:
    """Turns the first stopping signal into `Interrupted`; the second ends the process at once."""

    def __init__(self) -> None:
        self._depth = 0
        self._seen = False
        self._waiting: int | None = None

    @property
    def waiting(self) -> int | None:
        """The number of a signal that came while signals were held back, if one did."""
        return self._waiting

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Take every stopping signal for as long as the context lasts."""
        before = {number: signal.signal(number, self._take) for number in stopping_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait until the context ends; in another thread there is nothing to hold.

        Raises:
            Interrupted: A signal came meanwhile and nothing else went wrong.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        except BaseException:
            # What went wrong already stops the run.
            self._waiting = None
            raise
        finally:
            self._depth -= 1
        number = self._waiting
        if number is not None and self._depth == 0:
            self._waiting = None
            raise Interrupted(number)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._seen:
            end_at_once(number)
        self._seen = True
        if self._depth == 0:
            raise Interrupted(number)
        self._waiting = number
