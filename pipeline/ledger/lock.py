"""Gives one run at a time the right to write in a migration folder, by a kernel lock.

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
def migration_lock(folder: Path, name: str = LOCK_NAME, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock of the folder for as long as the context lasts.

    Args:
        folder: The migration folder.
        name: The lock's file in it.
        wait_s: How long to wait for another holder to leave.

    Raises:
        MigrationLocked: Another run holds it; a quarter of a second after `wait_s` at the latest.
        LocalStorageFailed: The lock file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / name, flags, 0o600)
    except OSError as error:
        raise LocalStorageFailed(
            f"the migration folder's lock cannot be opened ({error.strerror})",
            next_step="Make the folder writable for this user, then run again.",
        ) from None
    try:
        try:
            _take(descriptor, wait_s)
        except BlockingIOError:
            raise MigrationLocked from None
        except OSError as error:
            raise LocalStorageFailed(
                f"this file system keeps no locks ({error.strerror})",
                next_step="Put the migration folder on a local disk.",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, wait_s: float) -> None:
    """Take the lock; whoever only looks (`is_locked`) holds it for microseconds."""
    for _ in range(_TRIES - 1 + int(wait_s / _BETWEEN_TRIES_S)):
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
