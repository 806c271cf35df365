"""Standard streams that may be gone, made safe: losing whoever reads them must not stop a run."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def settle_streams() -> None:
    """Open closed descriptors on the null device, and let standard error lose its reader.

    A file that took the place of a closed standard stream would get whatever is printed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python has no stream where the descriptor was closed.
    nobody = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as we live.
    sys.stdout = sys.stdout or nobody
    sys.stderr = cast("Any", _MayBeLost(sys.stderr or nobody))


@contextmanager
def reader_may_go() -> Iterator[None]:
    """Let results be shown to somebody who may have gone, such as `head`: what is done is done."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
