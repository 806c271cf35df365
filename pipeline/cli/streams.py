"""Makes standard streams safe to lose: whoever reads them may go, and their disk may fill up."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast


class _MayBeLost:
    """A stream whose reader may go; what is written then is lost, and nothing else is."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_streams() -> None:
    """Open closed descriptors on the null device, and let standard error lose its reader.

    A file that took the place of a closed standard stream would get whatever is printed. A sign
    that a stream's encoding does not have is written as an escape, for a name may hold any.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python has no stream where the descriptor was closed.
    nobody = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as we live.
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - likewise.
    sys.stdout = sys.stdout or nobody
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = cast("Any", _MayBeLost(sys.stderr or nobody))


def flush_results() -> OSError | None:
    """Write out what standard output still buffers; give what kept it from being written."""
    try:
        sys.stdout.flush()
    except OSError as trouble:
        forget_results()
        return trouble
    return None


def forget_results() -> None:
    """Lead standard output nowhere: what is still buffered would fail again at every turn."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
