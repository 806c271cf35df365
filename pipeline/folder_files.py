"""Opens the files of a migration folder, which may come from anywhere: regular ones only, no links.

Nothing here waits (a pipe) or reads without end (a device, a grown file), whatever somebody put
into the folder.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

SMALL_BYTES_MAX: Final = 64 << 20
"""More than any file of ours that is read whole: manifest, signature, report."""
LINE_BYTES_MAX: Final = 1 << 20
"""More than any line that Cardferry writes."""

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_WORDS: Final = {
    errno.ENOENT: "is missing",
    errno.ELOOP: "is a link, and no file of ours is one",
    errno.EINVAL: "is not a regular file",
    errno.EFBIG: "is larger than any such file of ours",
    errno.EACCES: "may not be read by this user",
}


def open_in_folder(path: Path) -> BufferedReader:
    """Open a file of a migration folder for reading.

    Raises:
        OSError: It is missing, a link, no regular file, or cannot be read.
    """
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


def read_in_folder(path: Path, bytes_max: int = SMALL_BYTES_MAX) -> bytes:
    """Read a small file of a migration folder whole.

    Raises:
        OSError: As for `open_in_folder`, or it holds more than `bytes_max`.
    """
    with open_in_folder(path) as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise OSError(errno.EFBIG, "too large")
    return content


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Give a file's lines; one that is longer than any of ours comes in pieces without an end."""
    while line := file.readline(LINE_BYTES_MAX):
        yield line


def why_not(trouble: OSError) -> str:
    """Say of a file that could not be opened or read what is wrong with it."""
    known = _WORDS.get(trouble.errno or 0)
    return known or f"cannot be read ({os.strerror(trouble.errno or errno.EIO)})"


def trouble_with_own_file(path: Path) -> str | None:
    """Say why a file that only we write may not be used; None if it may, or is not there.

    SQLite opens whatever has the ledger's name, and waits for ever where that is a pipe.
    """
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as trouble:
        return why_not(trouble)
    if stat.S_ISLNK(facts.st_mode):
        return _WORDS[errno.ELOOP]
    if not stat.S_ISREG(facts.st_mode):
        return _WORDS[errno.EINVAL]
    if facts.st_mode & _OTHERS_MAY_WRITE:
        return "may be written by others than its owner (chmod 600)"
    return None
