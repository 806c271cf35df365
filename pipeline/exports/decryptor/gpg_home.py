"""Makes a private folder for gpg for one export, and removes those that killed runs left behind.

The process that makes a folder holds a lock on it for as long as it lives; the kernel drops the
lock with the process. So a folder that nobody has locked was left by a process that is gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME_PREFIX: Final = "cardferry-gpg-"
_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it.
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_OTHERS: Final = 0o077


@contextmanager
def private_home() -> Iterator[str]:
    """Give a new folder, in memory where that can be, that is gone at the end of the block."""
    parent = _parent_of_homes()
    while True:
        home = tempfile.mkdtemp(prefix=HOME_PREFIX, dir=parent)
        lock = os.open(home, _FOLDER)
        if _is_held(lock) and os.path.lexists(home):
            break
        # Somebody who sweeps came in between.
        os.close(lock)
    try:
        yield home
    finally:
        # The child clears it too; this is for a child that could not.
        shutil.rmtree(home, ignore_errors=True)
        os.close(lock)


@cache
def sweep_homes() -> None:
    """Remove the folders that killed runs of this user left, once a process."""
    with suppress(OSError), os.scandir(_parent_of_homes()) as entries:
        for entry in entries:
            if entry.name.startswith(HOME_PREFIX):
                with suppress(OSError):
                    _remove_if_left(entry.path)


def _parent_of_homes() -> Path:
    """Give the folder of all homes; the temporary one, which is tried by a file, only at need.

    Raises:
        FileNotFoundError: There is no temporary folder that can be written to.
    """
    if os.access(_MEMORY_FOLDER, os.W_OK | os.X_OK):
        return _MEMORY_FOLDER
    return Path(tempfile.gettempdir())


def clear_home(home: str) -> None:
    """End the agent that gpg started in a folder, and remove the folder."""
    for order in (["--kill", "all"], ["--remove-socketdir"]):
        with suppress(OSError):
            subprocess.run(  # noqa: S603 - fixed program, no shell.
                ["gpgconf", "--homedir", home, *order],  # noqa: S607 - found as gpg itself is.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
    shutil.rmtree(home, ignore_errors=True)


def _remove_if_left(path: str) -> None:
    """Remove a folder if it is a private one of ours whose owner is gone; a link is none."""
    folder = os.open(path, _FOLDER)
    try:
        facts = os.fstat(folder)
        is_ours = facts.st_uid == os.geteuid() and not stat.S_IMODE(facts.st_mode) & _FOR_OTHERS
        if is_ours and _is_held(folder):
            clear_home(path)
    finally:
        os.close(folder)


def _is_held(folder: int) -> bool:
    """Take the lock on a folder; tell whether nobody else has it."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
