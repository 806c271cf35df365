"""Runs `cardferry run` in a process of its own, and passes stopping signals on to it."""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from pipeline.child_process import start_child
from pipeline.errors import LocalStorageFailed
from pipeline.migration.inbox import Carried

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

KILLED: Final = "Killed"
"""The `kind` of the answer of a process that ended without one."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildRuns:
    """Starts runs one after the other, and passes a stopping signal on to the one under way.

    A child has a process group of its own: what a terminal sends to the group reaches it once,
    through us, and not twice, which would end it without draining.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._woken = threading.Event()
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def seen(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None

    @property
    def exit_code(self) -> int | None:
        """128 plus the signal's number; None without one."""
        return None if self._number is None else 128 + self._number

    def __enter__(self) -> Self:
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str]) -> Carried:
        """Carry one export in a process of its own, to its end.

        Raises:
            LocalStorageFailed: This machine cannot start a process now.
        """
        child = start_child(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._child = child
        if self._number is not None:
            child.send_signal(self._number)
        said, _ = child.communicate()
        self._child = None
        code = child.returncode
        return Carried(code, _answer(said)) if code >= 0 else _killed(-code)

    def wait(self, seconds: float) -> None:
        """Wait, unless a signal has come or comes."""
        if not self.seen:
            self._woken.wait(seconds)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._number = self._number or number
        self._woken.set()
        if self._child is not None:
            self._child.send_signal(number)


def _killed(number: int) -> Carried:
    """Say of a process that a signal ended, which the run itself did not take, what happened."""
    if number in _STOPPING:
        return Carried(128 + number)
    reason = (
        f"its process was killed ({signal.Signals(number).name}), for want of memory perhaps; "
        "nothing is lost"
    )
    return Carried(LocalStorageFailed.exit_code, {"error": reason, "kind": KILLED})


def _answer(said: bytes) -> dict[str, Any]:
    """Give the JSON object that a command printed; empty when it printed none."""
    try:
        answer = orjson.loads(said)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
