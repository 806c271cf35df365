"""Counts and digests the bytes of a file as written, or compares them with another file."""

from __future__ import annotations

import hashlib
import io
from typing import IO, TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Sink: TypeAlias = IO[bytes] | io.BufferedIOBase
"""Anything that an output can be written into."""

_READ_AT_ONCE: Final = 1 << 20


class MeasuredFile(io.BufferedIOBase):
    """Writes into a file and knows the size and SHA-256 of what went in.

    Args:
        target: The open file; it is not closed.
    """

    def __init__(self, target: Sink) -> None:
        super().__init__()
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, content: ReadableBuffer) -> int:
        """Write and count."""
        self._target.write(content)
        self._digest.update(content)
        written = memoryview(content).nbytes
        self.size += written
        return written

    @property
    def sha256(self) -> str:
        """SHA-256 of everything written, in hexadecimal."""
        return self._digest.hexdigest()


class ComparedFile(io.BufferedIOBase):
    """Takes what a file should hold and finds where the file first differs.

    Args:
        source: The file to compare with, open for reading at its start.
    """

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self._offset = 0
        self._line_feeds = 0
        self.first_difference: tuple[int, int] | None = None
        """Offset from 0 and line from 1 of the first byte that differs."""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, content: ReadableBuffer) -> int:
        """Compare the next bytes."""
        wanted = bytes(content)
        if self.first_difference is None:
            self._compare(wanted)
        return len(wanted)

    def finish(self) -> tuple[int, int] | None:
        """Give the first difference, counting bytes that stand after what was wanted."""
        if self.first_difference is None and self._source.read(1):
            self.first_difference = (self._offset, 1 + self._line_feeds)
        return self.first_difference

    def _compare(self, wanted: bytes) -> None:
        found = self._source.read(len(wanted))
        if found == wanted:
            self._offset += len(wanted)
            self._line_feeds += wanted.count(b"\n")
            return
        same = next(
            (at for at, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
            min(len(found), len(wanted)),
        )
        self.first_difference = (
            self._offset + same,
            1 + self._line_feeds + wanted[:same].count(b"\n"),
        )


def digest_of(source: IO[bytes]) -> tuple[int, str]:
    """Give the size and SHA-256 of a file that is open at its start."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(_READ_AT_ONCE):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()
