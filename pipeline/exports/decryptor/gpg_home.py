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

from pipeline.errors import LocalStorageFailed
from pipeline.exports.verdict import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME_PREFIX: Final = "cardferry-gpg-"
_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it.
_FOLDERS: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - only looked at.
_NAMES_OF_FOLDERS: Final = ("TMPDIR", "TEMP", "TMP")
"""Where Python's `tempfile` looks for a folder; each is where a killed run may have made one."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_OTHERS: Final = 0o077
_ROOM_BYTES: Final = 256 << 10
"""Keys, a trust database and locks; gpg of a small key ring takes a quarter of it."""


@contextmanager
def private_home() -> Iterator[str]:
    """Give a new folder, in memory where that can be, that is gone at the end of the block.

    Raises:
        LocalStorageFailed: No folder has room for what gpg writes: its word on an export would be
            that of a disk.
    """
    home, lock = _new_home()
    try:
        yield home
    except Refused:
        if not _has_room(home):
            raise _no_room() from None
        raise
    finally:
        # The child clears it too; this is for a child that could not.
        shutil.rmtree(home, ignore_errors=True)
        os.close(lock)


def _new_home() -> tuple[str, int]:
    """Make a folder with room in it; give its path, and the descriptor that holds it."""
    for parent in _parents_of_homes():
        while True:
            try:
                home = tempfile.mkdtemp(prefix=HOME_PREFIX, dir=parent)
                lock = os.open(home, _FOLDER)
            except OSError:
                break
            if _is_held(lock) and os.path.lexists(home):
                if _has_room(home):
                    return home, lock
                shutil.rmtree(home, ignore_errors=True)
                os.close(lock)
                break
            # Somebody who sweeps came in between.
            os.close(lock)
    raise _no_room()


def _has_room(home: str) -> bool:
    """Tell whether a folder takes what gpg writes: keys, and what it keeps beside them."""
    try:
        with tempfile.TemporaryFile(dir=home) as probe:
            os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
    except OSError:
        return False
    return True


def _no_room() -> LocalStorageFailed:
    return LocalStorageFailed(
        "gpg has no room for its keys, neither in /dev/shm nor in the folder for temporary files",
        next_step="Free one of them, or name another in TMPDIR, then run again.",
    )


@cache
def sweep_homes() -> None:
    """Remove the folders that killed runs of this user left, once a process."""
    named = (os.environ.get(name) for name in _NAMES_OF_FOLDERS)
    # Where they may have been made: to ask which one is taken now would write into it.
    for parent in {_MEMORY_FOLDER, *_FOLDERS, *(Path(path) for path in named if path)}:
        with suppress(OSError), os.scandir(parent) as entries:
            for entry in entries:
                if entry.name.startswith(HOME_PREFIX):
                    with suppress(OSError):
                        _remove_if_left(entry.path)


def _parents_of_homes() -> Iterator[Path]:
    """Give the folders that homes are made in; the temporary one is looked for when it is needed."""
    if os.access(_MEMORY_FOLDER, os.W_OK | os.X_OK):
        yield _MEMORY_FOLDER
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())


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
