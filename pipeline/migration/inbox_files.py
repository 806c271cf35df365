"""Finds the finished exports of an inbox folder, and puts away what is done or refused.

An export is finished when a `.done` file stands beside it, when the digest in a `.sha256` file
beside it is its own, or when it has been left alone for a while. "Left alone" is judged by the
file's change time, which no copying program can set back as it can the time of modification, and
by the kernel's word that nobody has it open for writing.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.disk import open_regular_file, private_folder, sha256_of
from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEALED_SUFFIXES: Final = (".pgp", ".gpg", ".asc", ".age")
PLAIN_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
DONE_FOLDER: Final = "done"
REFUSED_FOLDER: Final = "refused"
_DONE_MARK: Final = ".done"
_DIGEST: Final = ".sha256"
_DIGEST_BYTES_MAX: Final = 4096
_SHA256: Final = re.compile(rb"\s*\\?([0-9a-fA-F]{64})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whether a file is still the one that was looked at."""

    size: int
    modified_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class InboxFile:
    """A file of the inbox that looks like an export.

    Attributes:
        path: Where it lies.
        identity: What it was when it was looked at.
        finished: Whether its sender is done with it.
        sha256_beside: What the `.sha256` file beside it says, if there is one; the run that carries
            it takes no other bytes.
    """

    path: Path
    identity: Identity
    finished: bool
    sha256_beside: str | None = None


def look(folder: Path, now_s: float, quiet_s: float, *, plain: bool) -> list[InboxFile]:
    """List what looks like an export, oldest first (by time of modification, then by name).

    Args:
        folder: The inbox; only regular files right in it count, no links and no hidden files.
        now_s: Seconds since 1970.
        quiet_s: How long a file without a companion must have been left alone, in seconds.
        plain: Whether unsealed exports count, too (`export.allow_plaintext`).

    Raises:
        LocalStorageFailed: The folder cannot be read.
    """
    suffixes = (*SEALED_SUFFIXES, *PLAIN_SUFFIXES) if plain else SEALED_SUFFIXES
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.lower().endswith(suffixes)
                and not entry.name.startswith(".")
                and entry.is_file(follow_symlinks=False)
            )
    except OSError as trouble:
        raise _unreadable(folder, trouble) from None
    found = [
        file for name in names if (file := _looked_at(folder / name, now_s, quiet_s)) is not None
    ]
    return sorted(found, key=lambda file: (file.identity.modified_ns, file.path.name))


def identity_of(path: Path) -> Identity | None:
    """Give what the file is now; None when it is gone or no regular file."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return Identity(facts.st_size, facts.st_mtime_ns, facts.st_ino)


def put_away(file: InboxFile, place: str) -> Path:
    """Move an export and its companions into a folder of the inbox, never over another file.

    Raises:
        LocalStorageFailed: It cannot be moved; it lies where it lay.
    """
    target = private_folder(file.path.parent / place)
    name = _free_name(target, file.path.name)
    try:
        file.path.rename(target / name)
        for companion, suffix in _companions(file.path):
            companion.rename(target / f"{name}{suffix}")
    except OSError as trouble:
        raise LocalStorageFailed(
            f"cannot move {file.path} into {target} ({os.strerror(trouble.errno or 0)})",
            next_step="Give this user the right to move files there, then run again.",
        ) from None
    return target / name


def remove(file: InboxFile) -> None:
    """Remove a carried export and its companions.

    Raises:
        LocalStorageFailed: It cannot be removed.
    """
    try:
        file.path.unlink(missing_ok=True)
        for companion, _ in _companions(file.path):
            companion.unlink(missing_ok=True)
    except OSError as trouble:
        raise LocalStorageFailed(
            f"cannot remove {file.path} ({os.strerror(trouble.errno or 0)})",
            next_step='Give this user the right to remove it, or set watch.inbox_done = "leave".',
        ) from None


def _looked_at(path: Path, now_s: float, quiet_s: float) -> InboxFile | None:
    identity = identity_of(path)
    if identity is None:
        return None
    wanted = _digest_beside(path)
    # With another digest it is still being written, or what came is not what was sent: whoever
    # carries it finds that out once it is left alone.
    finished = (
        _beside(path, _DONE_MARK).is_file()
        or _left_alone(path, now_s, quiet_s)
        or (wanted is not None and sha256_of(path) == wanted)
    )
    return InboxFile(path, identity, finished, wanted)


def _left_alone(path: Path, now_s: float, quiet_s: float) -> bool:
    try:
        if now_s - path.lstat().st_ctime < quiet_s:
            return False
        with open_regular_file(path) as opened:
            return not _is_being_written(opened.fileno())
    except OSError:
        # It went, or it cannot be read: whoever carries it says so in words.
        return True


def _is_being_written(descriptor: int) -> bool:
    """Ask the kernel, by a lease that is granted only where nobody writes (fcntl(2), F_SETLEASE)."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        # No leases on this file system, or the file is another user's: the time has to do.
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _digest_beside(path: Path) -> str | None:
    """Give the digest that `sha256sum` wrote beside a file; None where there is none yet."""
    with suppress(OSError), open_regular_file(_beside(path, _DIGEST)) as opened:
        found = _SHA256.match(opened.read(_DIGEST_BYTES_MAX))
        return found[1].decode().lower() if found else None
    return None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _companions(path: Path) -> Iterator[tuple[Path, str]]:
    for suffix in (_DONE_MARK, _DIGEST):
        if (companion := _beside(path, suffix)).is_file():
            yield companion, suffix


def companions(path: Path) -> list[Path]:
    """Give the files beside an export that say that it is finished."""
    return [companion for companion, _ in _companions(path)]


def _free_name(folder: Path, name: str) -> str:
    """Give a name that is free; only one inbox works on a folder at a time."""
    stem, dot, suffix = name.partition(".")
    free, number = name, 1
    while os.path.lexists(folder / free):
        number += 1
        free = f"{stem}-{number}{dot}{suffix}"
    return free


def _unreadable(folder: Path, trouble: OSError) -> LocalStorageFailed:
    return LocalStorageFailed(
        f"the inbox {folder} cannot be read ({os.strerror(trouble.errno or 0)})",
        next_step="Name a folder that this user may read.",
    )
