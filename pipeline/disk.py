"""Writes private files whole or not at all, and opens regular files only.

A reader of our outputs never sees half a file: bytes go to a temporary name in the same
folder, are synced, and only then take the target's name; the folder is synced last, so that
the name survives a power cut too. A failed sync is never tried again: the kernel may have
dropped the dirty pages and would then call a lost write a success.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_serial: Final = itertools.count(1)


def open_regular_file(path: Path) -> BufferedReader:
    """Open a file for reading its bytes.

    Raises:
        OSError: It cannot be read, or it is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


def sha256_of(path: Path) -> str | None:
    """Give the SHA-256 of a file's bytes in hexadecimal; None where they cannot be read."""
    with suppress(OSError), open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


@contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file whose bytes stand under `path` once the block ends well.

    Whatever raises inside the block leaves the old file as it was, or no file. Only a folder
    sync that fails comes too late for that: the new file is whole then, but may not survive
    a power cut.

    Args:
        path: The target; its folder must exist. It is created with mode 0600.

    Raises:
        LocalStorageFailed: The target is not a plain file of ours, or the disk refused.
    """
    with write_together(path.parent) as staged:
        yield staged.new_file(path.name)


@contextmanager
def write_together(folder: Path) -> Iterator[StagedFiles]:
    """Give a stage for several files of one folder that take their names after all are synced.

    The names appear in the order in which the files were asked for, so the file asked for last
    is the commit point: a reader that finds it finds the others as well.

    Raises:
        LocalStorageFailed: A target is not a plain file of ours, or the disk refused.
    """
    with _storage_trouble(f"cannot write in {folder}"):
        descriptor = os.open(folder, _FOLDER_FLAGS)
    staged = StagedFiles(folder, descriptor)
    try:
        yield staged
        staged.publish()
    except OSError as trouble:
        raise _storage_failed(f"cannot write in {folder}", trouble) from None
    finally:
        staged.discard()
        os.close(descriptor)


class StagedFiles:
    """Files that are being written under temporary names in one folder.

    Args:
        folder: The folder, for messages.
        descriptor: The open folder; its owner closes it after `discard`.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._files: dict[str, tuple[str, IO[bytes]]] = {}

    def new_file(self, name: str) -> IO[bytes]:
        """Give an empty binary file, readable and seekable too, that will be called `name`.

        Do not close it; publishing and discarding do.

        Raises:
            LocalStorageFailed: `name` is taken by a link, a pipe, a device, a folder or
                somebody else's file, or the disk refused.
        """
        target = self._folder / name
        with _storage_trouble(f"cannot write {target}"):
            _require_replaceable(target, name, self._descriptor)
            _remove_leftovers(name, self._descriptor)
            temporary = f".{name}.{os.getpid()}-{next(_serial)}.tmp"
            raw = os.open(temporary, _NEW_FILE_FLAGS, _FILE_MODE, dir_fd=self._descriptor)
            # The lock tells a living writer's file from the leftover of a killed one.
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened = os.fdopen(raw, "w+b")
        self._files[name] = (temporary, opened)
        return opened

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a new file that will be called so."""
        return name in self._files

    def __getitem__(self, name: str) -> IO[bytes]:
        """Give a new file by the name that it will have."""
        return self._files[name][1]

    def forget(self, name: str) -> None:
        """Throw a new file away and let what has its name stand; never raises."""
        temporary, opened = self._files.pop(name)
        with suppress(OSError):
            os.unlink(temporary, dir_fd=self._descriptor)
        _close_quietly(opened)

    def publish(self) -> None:
        """Sync every file, then give each its name in order, then sync the folder.

        Raises:
            LocalStorageFailed: The disk refused; files not yet named will not be.
        """
        for name, (_, opened) in self._files.items():
            with _storage_trouble(f"cannot write {self._folder / name}"):
                opened.flush()
                os.fsync(opened.fileno())
        for name, (temporary, opened) in list(self._files.items()):
            with _storage_trouble(f"cannot write {self._folder / name}"):
                os.rename(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            del self._files[name]
            _close_quietly(opened)
        with _storage_trouble(f"cannot make the files of {self._folder} durable"):
            os.fsync(self._descriptor)

    def discard(self) -> None:
        """Remove every file that has not got its name; never raises."""
        while self._files:
            self.forget(next(reversed(self._files)))


def private_folder(path: Path) -> Path:
    """Make sure that `path` is a folder of ours that nobody else may write to; create it if missing.

    A folder that is new or empty gets mode 0700. One with something in it keeps its mode: it
    may be more than ours (`-o .` in a home folder), and the files we write are 0600 anyway.

    Raises:
        LocalStorageFailed: `path` is a link, no folder, another user's, writable for others,
            or cannot be created.
    """
    with _storage_trouble(f"cannot use the folder {path}"):
        _create_folder(path)
        if path.is_symlink():
            raise _refused_folder(path, "it is a link")
        try:
            descriptor = os.open(path, _FOLDER_FLAGS | os.O_NOFOLLOW)
        except NotADirectoryError:
            raise _refused_folder(path, "it is not a folder") from None
        try:
            _tighten(path, descriptor)
        finally:
            os.close(descriptor)
    return path


def _create_folder(path: Path) -> None:
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=_FOLDER_MODE)
        # A parent that we may not read cannot be synced by us at all.
        with suppress(PermissionError):
            _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, _FOLDER_FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tighten(path: Path, descriptor: int) -> None:
    facts = os.fstat(descriptor)
    if facts.st_uid != os.geteuid():
        raise _refused_folder(path, "it belongs to another user")
    # World-writable is refused even when empty: root's `-o /tmp` must not close /tmp to all.
    if facts.st_mode & stat.S_IWOTH:
        raise _refused_folder(path, "everybody may write to it")
    if not os.listdir(descriptor):
        os.fchmod(descriptor, _FOLDER_MODE)
    elif facts.st_mode & stat.S_IWGRP:
        raise _refused_folder(path, "its group may write to it, and it is not empty")


def _refused_folder(path: Path, reason: str) -> LocalStorageFailed:
    return LocalStorageFailed(
        f"the folder {path} is refused: {reason}",
        next_step="Name a folder of your own that nobody else may write to (chmod 700).",
    )


def _require_replaceable(target: Path, name: str, folder: int) -> None:
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(facts.st_mode):
        reason = "something that is not a plain file has its name"
    elif facts.st_uid != os.geteuid():
        reason = "another user's file has its name"
    else:
        return
    raise LocalStorageFailed(
        f"cannot write {target}: {reason}",
        next_step="Move it away, or name another output folder.",
    )


def _remove_leftovers(name: str, folder: int) -> None:
    """Remove temporary files of `name` whose writer is gone."""
    for entry in os.listdir(folder):
        serial = entry.removeprefix(f".{name}.").removesuffix(".tmp")
        if entry != f".{name}.{serial}.tmp" or not serial.replace("-", "").isdecimal():
            continue
        with suppress(OSError):
            _remove_if_abandoned(entry, folder)


def _remove_if_abandoned(entry: str, folder: int) -> None:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(entry, flags, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(entry, dir_fd=folder)
    finally:
        os.close(descriptor)


def _close_quietly(opened: IO[bytes]) -> None:
    # Either the bytes are synced already or they are being thrown away.
    with suppress(OSError):
        opened.close()


@contextmanager
def _storage_trouble(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as trouble:
        raise _storage_failed(what, trouble) from None


def _storage_failed(what: str, trouble: OSError) -> LocalStorageFailed:
    reason = os.strerror(trouble.errno) if trouble.errno else "unknown reason"
    steps = {
        errno.ENOSPC: "Free some space on this disk and run the same command again.",
        errno.EDQUOT: "Raise the quota or free some space, and run the same command again.",
        errno.EACCES: "Give this user the right to write there, or name another folder.",
        errno.EPERM: "Give this user the right to write there, or name another folder.",
        errno.EROFS: "Name a folder on a disk that can be written to.",
        errno.ENOENT: "Create the folder first, or name one that exists.",
    }
    step = steps.get(trouble.errno or 0, "Check this disk, then run the same command again.")
    return LocalStorageFailed(f"{what}: {reason}", next_step=step)
