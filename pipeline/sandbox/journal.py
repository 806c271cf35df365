"""Appends one line of JSON for every token made: what a checker counts creations by."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """Appends a line for every token that was made.

    A line is one `write` to a file opened for appending, so it reaches the system whole and
    outlives this process being killed. Lines of an earlier run stay, and `seq` goes on from them.

    Args:
        path: The file; it is made with mode 0600 when it does not exist.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._seq = 0
        if path.is_file():
            with path.open("rb") as lines:
                self._seq = sum(1 for _ in lines)

    def note(self, token: str, last_digits: str, name: str, at: str) -> None:
        """Write down that a token was made.

        Args:
            token: Its id.
            last_digits: The card's last four digits.
            name: The cardholder's name as it was sent; only its SHA-256 is written.
            at: The moment, RFC 3339 with microseconds, UTC.

        Raises:
            OSError: The line could not be written whole.
        """
        line = {
            "seq": self._seq + 1,
            "token": token,
            "last_digits": last_digits,
            "name_sha256": hashlib.sha256(name.encode()).hexdigest(),
            "at": at,
        }
        raw = orjson.dumps(line) + b"\n"
        if os.write(self._descriptor, raw) != len(raw):
            raise OSError("the journal took half a line")
        self._seq += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
