"""Tells what this machine refused (disk, descriptors, memory, threads) from a bug of ours."""

from __future__ import annotations

import errno
import os
from typing import Final

from pipeline.errors import LocalStorageFailed
from pipeline.excepthooks import raised_from

_NO_THREAD: Final = "can't start new thread"
_NO_ROOM_TO_LOAD: Final = ("failed to map segment", "cannot allocate memory")
_NEXT_STEPS: Final = {
    errno.ENOSPC: "Free some space, then run the same command again.",
    errno.EDQUOT: "Free some space, then run the same command again.",
    errno.EMFILE: "Raise `ulimit -n` or lower `flow.in_flight_max`, then run again.",
    errno.ENFILE: "Close programs that hold many files, then run the same command again.",
    errno.ENOMEM: "Give it more memory or raise `ulimit -v`, then run the same command again.",
    errno.EAGAIN: "Raise `ulimit -u` or end other processes, then run the same command again.",
}
_LACKS: Final = frozenset(_NEXT_STEPS)


def lack_of_resources(error: BaseException) -> OSError | MemoryError | None:
    """Give what the machine refused, if that is why this exception was raised; else None.

    Args:
        error: What nobody caught; a lack of something counts where it was raised from one, too.
    """
    if isinstance(error, OSError):
        return error
    for each in raised_from(error, hidden_too=True):
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno in _LACKS):
            return each
        if isinstance(each, RuntimeError) and _NO_THREAD in str(each):
            return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if isinstance(each, ImportError) and any(w in str(each) for w in _NO_ROOM_TO_LOAD):
            return MemoryError()
    return None


def local_trouble(cause: OSError | MemoryError) -> LocalStorageFailed:
    """Give the trouble in words: the machine's own name for it, and what helps."""
    number = errno.ENOMEM if isinstance(cause, MemoryError) else cause.errno or 0
    name = errno.errorcode.get(number, type(cause).__name__)
    what = os.strerror(number) if number else "the machine refused"
    return LocalStorageFailed(
        f"this machine could not go on: {what} ({name}); nothing is lost",
        next_step=_NEXT_STEPS.get(number, "Mend that, then run the same command again."),
    )
