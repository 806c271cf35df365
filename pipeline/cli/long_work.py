"""Says what is going on where that takes longer than somebody waits without wondering."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S: Final = 2.0


@contextmanager
def told_when_long(tell: Callable[[], None], after_s: float | None = None) -> Iterator[None]:
    """Tell what is going on once it has taken so long; what ends sooner is not spoken of.

    Args:
        tell: Tells it, from a thread of its own; never after the context has ended.
        after_s: Seconds until then; default: as long as one waits without wondering.
    """
    timer = Timer(PATIENCE_S if after_s is None else after_s, tell)
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        # A machine that has no thread left can do the work all the same, without a word.
        yield
        return
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
