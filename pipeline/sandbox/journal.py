"""Appends one line of JSON for every token, customer and card that is made, moved or deleted.

A checker counts by it what the vault really did, whatever its answers said.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """Appends a line for everything that was made, attached or deleted.

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
        self._append(line)

    def note_change(self, made: str, on: str | None, by: str, token: str | None, at: str) -> None:
        """Write down that a customer was made, a card attached, or one of them deleted.

        Args:
            made: The card's id, or the customer's when no card is concerned.
            on: The customer whose card it is; None for a customer.
            by: `POST`, `PATCH` or `DELETE`.
            token: The token that was used, or None.
            at: The moment, RFC 3339 with microseconds, UTC.

        Raises:
            OSError: The line could not be written whole.
        """
        self._append(
            {"seq": self._seq + 1, "made": made, "on": on, "by": by, "token": token, "at": at}
        )

    def _append(self, line: dict[str, object]) -> None:
        raw = orjson.dumps(line) + b"\n"
        if os.write(self._descriptor, raw) != len(raw):
            raise OSError("the journal took half a line")
        self._seq += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
