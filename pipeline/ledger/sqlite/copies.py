"""Copies a ledger's file for a look that takes long, so that no run waits for it.

A small copy is a nameless temporary database of SQLite's. Of a large one two connections may read at
once, which that cannot be: it is a file whose name is gone before anything is written to it. Its
folder stays as long, empty: SQLite looks there for a journal, and nobody else may put one there.
Whoever is killed leaves that folder behind, and nothing of any other copy.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

_TWO_FROM_BYTES: Final = 16_000_000
"""What is smaller is read before a second connection would pay."""
_FOLDERS: Final = ("SQLITE_TMPDIR", "TMPDIR")
_USUAL_FOLDERS: Final = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - where SQLite looks, too.


class Copy(sqlite3.Connection):
    """A copy of a ledger, which ends with the connections to it."""

    beside: sqlite3.Connection | None = None
    """A second connection, which reads what the first one reads; None for a small copy."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    """Where its name was; of nobody else, and empty."""

    def close(self) -> None:
        """Close both connections."""
        if self.beside is not None:
            self.beside.close()
        super().close()
        if self.folder is not None:
            self.folder.cleanup()


def copy_of(address: str, waits_ms: int, *, for_two: bool) -> Copy:
    """Copy a database; the original is held for that long only.

    Args:
        address: The original's, as `sqlite3.connect` takes it.
        waits_ms: How long to wait for who writes to it.
        for_two: Let two connections read the copy, if it is large.
    """
    source = sqlite3.connect(address, uri=True)
    try:
        source.execute(f"PRAGMA busy_timeout = {waits_ms}")
        copy = _for_two() if for_two and _is_large(source) else None
        if copy is None:
            copy = _opened("")
        try:
            source.backup(copy)
        except BaseException:
            copy.close()
            raise
    finally:
        source.close()
    return copy


def _is_large(source: sqlite3.Connection) -> bool:
    (pages,) = source.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = source.execute("PRAGMA page_size").fetchone()
    return bool(pages * page_bytes >= _TWO_FROM_BYTES)


def _for_two() -> Copy | None:
    """Make an empty copy that two connections have open, without a name; None if it cannot be had."""
    place = temporary_folder()
    if place is None:
        return None
    try:
        folder = tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True)
    except OSError:
        # Then SQLite may find a place itself, or says what is wrong.
        return None
    try:
        descriptor, name = tempfile.mkstemp(dir=folder.name)
    except OSError:
        folder.cleanup()
        return None
    os.close(descriptor)
    try:
        copy = _opened(name)
        copy.folder = folder
        # SQLite opens the file at once, so that both have it when its name goes.
        copy.beside = sqlite3.connect(
            f"file:{name}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
    except sqlite3.Error:
        folder.cleanup()
        return None
    Path(name).unlink()
    # A copy that was not made whole is never read: nothing is to be taken back or synced.
    copy.execute("PRAGMA journal_mode = OFF")
    copy.execute("PRAGMA synchronous = OFF")
    return copy


def _opened(name: str) -> Copy:
    return sqlite3.connect(name, factory=Copy, check_same_thread=False, isolation_level=None)


def temporary_folder() -> Path | None:
    """Give the folder that SQLite would take; one whose name would not fit into an address is none."""
    named = (os.environ.get(name) for name in _FOLDERS)
    for name in (*named, *_USUAL_FOLDERS):
        if name and Path(name).is_dir() and os.access(name, os.W_OK | os.X_OK):
            return None if set(name) & set("%?#") else Path(name).absolute()
    return None
