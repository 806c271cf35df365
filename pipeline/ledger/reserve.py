"""Asks for room before the first send, and keeps some back for the answers that are under way.

A card that was sent has its token whether or not the disk can take the word of it, and a token
that was not written down is made a second time. So nothing is sent unless the disk has room for
all of it, and should the room go after all, space of our own is given up for the last answers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pipeline.counts import counted
from pipeline.errors import LocalStorageFailed

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_NAME: Final = ".reserve"
LEDGER_BYTES_A_ROW: Final = 700
"""What a row's attempts, outcome and token add to the ledger, with their indexes and a margin."""
OUTPUT_BYTES_A_ROW: Final = 300
"""What a row adds to mapping, failures and report; they are written beside the old ones."""
_ENTRY_BYTES: Final = 64 * 1024
"""An answer changes some six pages, in the ledger and in its journal."""
_LEAST_BYTES: Final = 512 * 1024


class DiskFull(LocalStorageFailed):
    """The disk has no room left; nothing of what was refused was written."""


class Reserve:
    """Room on the ledger's disk that is ours to give up.

    Args:
        folder: Where outputs are written; None for a ledger that has none.
        holds_ledger: Whether the ledger is there, too, so that answers need room.
    """

    def __init__(self, folder: Path | None, *, holds_ledger: bool = True) -> None:
        self._folder = folder
        self._holds_ledger = holds_ledger
        self._held = False

    @property
    def is_held(self) -> bool:
        """Whether there is room that could be given up."""
        return self._held

    def ask_for_room(self, rows: int, in_flight_max: int) -> None:
        """Make sure that rows can be sent and published, and set room aside for answers.

        Args:
            rows: How many rows are to be sent.
            in_flight_max: C, how many answers may be under way.

        Raises:
            LocalStorageFailed: The disk has too little room; nothing was sent.
        """
        if self._folder is None or not rows:
            return
        held = _LEAST_BYTES + in_flight_max * _ENTRY_BYTES if self._holds_ledger else 0
        of_ledger = LEDGER_BYTES_A_ROW if self._holds_ledger else 0
        outputs = sum(e.stat().st_size for e in os.scandir(self._folder) if _is_output(e))
        needed = held + rows * (of_ledger + 2 * OUTPUT_BYTES_A_ROW) + outputs
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < needed:
            raise LocalStorageFailed(
                f"this disk has room for {_mebibytes(free)}, and {counted(rows, 'row')} need up to "
                f"{_mebibytes(needed)}; nothing was sent",
                next_step="Free the disk, then run the same command again.",
            )
        if held:
            self._hold(self._folder / RESERVE_NAME, held)

    def _hold(self, path: Path, size: int) -> None:
        self._held = True
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.free()
            raise LocalStorageFailed(
                f"room for the last answers cannot be set aside ({error.strerror})",
                next_step="Free the disk, then run the same command again.",
            ) from None

    def free(self) -> bool:
        """Give the room up; tell whether there was any."""
        if not self._held or self._folder is None:
            return False
        self._held = False
        with suppress(OSError):
            (self._folder / RESERVE_NAME).unlink()
        return True


def _is_output(entry: os.DirEntry[str]) -> bool:
    own = entry.name.startswith((".", "ledger."))
    return not own and entry.is_file(follow_symlinks=False)


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
