"""A migration folder in, the right to write in it out: one run at a time, by a kernel lock.

The kernel drops the lock with the process that holds it, so a kill leaves nothing stale.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.errors import LocalStorageFailed, MigrationLocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME: Final = ".lock"
_TRIES: Final = 10
_BETWEEN_TRIES_S: Final = 0.02


@contextmanager
def migration_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for as long as the context lasts.

    Raises:
        MigrationLocked: Another run holds it; within a quarter of a second.
        LocalStorageFailed: The lock file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / LOCK_NAME, flags, 0o600)
    except OSError as error:
        raise LocalStorageFailed(
            f"the migration folder's lock cannot be opened ({error.strerror})",
            next_step="Make the folder writable for this user, then run again.",
        ) from None
    try:
        try:
            _take(descriptor)
        except BlockingIOError:
            raise MigrationLocked(
                "another run holds this migration",
                next_step="Wait for it, or look at it with `cardferry status DIR`.",
            ) from None
        except OSError as error:
            raise LocalStorageFailed(
                f"this file system keeps no locks ({error.strerror})",
                next_step="Put the migration folder on a local disk.",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Take the lock; whoever only looks (`is_locked`) holds it for microseconds."""
    for _ in range(_TRIES - 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            threading.Event().wait(_BETWEEN_TRIES_S)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(folder: Path) -> bool:
    """Tell whether a run holds the folder now, without taking or touching anything."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
