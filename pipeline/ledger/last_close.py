"""Remembers how the ledger was left, so that the next opening need not read all of it again.

At every opening the ledger proves itself, and that reads every row. Where the file is, by the file
system's own word, the one that the last run left after its proof, nobody has written to it since:
inode, size, and the moments of the last write and of the last change of the inode are compared, the
last of which no program can set. A file that was copied, restored, or written to by whomever is
proved anew. Of a ledger on a server the server's own records say as much (`postgres.changes`).

The note in the folder is trusted for no more than that: what it spares is done by `verify` every
time, and what is published next stands on digests that were worked out before, or anew. Whoever may
write to the folder may write a note, too; so where manifests are signed the note has to be, as a run
that believed a forged one would sign what the forger made of the rows.
"""

from __future__ import annotations

import hmac
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from pipeline.folder_files import read_in_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Seal: TypeAlias = Callable[[bytes], bytes]
    Words: TypeAlias = list[int] | list[str]

NOTE_NAME: Final = ".proved"
_MEANING: Final = b"cardferry: a ledger as it was left: "
"""Before what is signed, so that the signature is good for nothing else."""
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTE_BYTES_MAX: Final = 4096
_TRIES: Final = 10
_BETWEEN_TRIES_S: Final = 0.004
"""The file system's clock moves in steps of that; a later write must get a later moment."""


def note_how_left(ledger: Path, seal: Seal | None = None) -> None:
    """Note how a ledger's file stands; the caller has proved it and everything since is its own.

    Where that cannot be noted there is no note, and the next opening takes longer.

    Args:
        ledger: The file; nothing of it is waiting to be written.
        seal: Signs the note.
    """
    note = ledger.with_name(NOTE_NAME)
    try:
        facts = ledger.stat()
        if _is_later(note, facts.st_ctime_ns):
            _write(note, _note(_words(facts), seal))
            return
    except OSError:
        pass
    with suppress(OSError):
        note.unlink()


def note_standing(folder: Path, words: list[str], seal: Seal | None = None) -> None:
    """Note how a ledger on a server stands, likewise.

    Args:
        folder: The migration folder.
        words: What the store says of it (`Store.stands`).
        seal: Signs the note.
    """
    with suppress(OSError):
        _write(folder / NOTE_NAME, _note(words, seal))


def stands_as_noted(folder: Path, words: list[str], seal: Seal | None = None) -> bool:
    """Tell whether a ledger on a server stands as it was noted; the arguments are as above."""
    return _says(folder / NOTE_NAME, words, seal)


def is_as_left(ledger: Path, seal: Seal | None = None) -> bool:
    """Tell whether a ledger's file is the very one that was noted, by the file system's facts.

    Args:
        ledger: The file.
        seal: Signs notes, the same one always in the same way; a note without it is none then.
    """
    try:
        return _says(ledger.with_name(NOTE_NAME), _words(ledger.stat()), seal)
    except OSError:
        return False


def _says(note: Path, words: Words, seal: Seal | None) -> bool:
    try:
        noted = read_in_folder(note, _NOTE_BYTES_MAX)
        if seal is not None:
            return hmac.compare_digest(noted, _note(words, seal))
        return bool(orjson.loads(noted)[0] == words)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _is_later(note: Path, moment_ns: int) -> bool:
    """Make sure that the file system's clock has moved on since the ledger's last change."""
    for _ in range(_TRIES):
        _write(note, b"")
        if note.stat().st_mtime_ns > moment_ns:
            return True
        threading.Event().wait(_BETWEEN_TRIES_S)
    return False


def _write(note: Path, content: bytes) -> None:
    descriptor = os.open(note, _FLAGS, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _note(words: Words, seal: Seal | None) -> bytes:
    signature = None if seal is None else seal(_MEANING + orjson.dumps(words)).hex()
    return orjson.dumps([words, signature])


def _words(facts: os.stat_result) -> list[int]:
    return [facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
