"""Notices that a write waits for another program, and names the one that holds the ledger.

A reader, a backup or an open `sqlite3` holds a lock on the file for as long as it reads, and
every commit waits for it. That is no trouble of the disk: nothing is lost while it lasts.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.logs import EventLog, Word

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_AFTER_S: Final = 5.0
_TOLD_EVERY: Final = 12
"""A write that goes on waiting is told of again after so many times `LATE_AFTER_S`."""
_LOCKS: Final = Path("/proc/locks")
_FIELDS: Final = 6

log = EventLog("ledger")


def holders_of(path: Path) -> dict[int, str]:
    """Give the name of every other process that holds a lock on a file, by its number.

    Empty where nobody does, or where the system does not tell.
    """
    named: dict[int, str] = {}
    with suppress(OSError, ValueError):
        inode = str(path.stat().st_ino)
        own = str(os.getpid())
        for line in _LOCKS.read_text("ascii").splitlines():
            fields = line.split()
            if "->" in fields or len(fields) < _FIELDS or fields[1] not in {"POSIX", "OFDLCK"}:
                continue
            pid, place = fields[4], fields[5]
            if place.rpartition(":")[2] == inode and pid != own:
                named[int(pid)] = _name_of(pid)
    return named


def _name_of(pid: str) -> str:
    with suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
        return "".join(c if c.isalnum() or c in "-_." else "_" for c in name) or "a program"
    return "a program"


class WriteWaits:
    """Watches the writes of one ledger and says whom one waits for.

    Args:
        path: The ledger's file; None where no program can hold one.
        late_after_s: A write that takes longer waits for somebody.
        when_late: Called then; ends what of our own may be who it waits for.

    Attributes:
        begun: How many writes have begun; whoever writes counts, here and in `ended`.
        ended: How many of them have ended.
    """

    def __init__(
        self,
        path: Path | None,
        late_after_s: float = LATE_AFTER_S,
        when_late: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._late_after_s = late_after_s
        self._when_late = when_late
        self.begun = self.ended = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; a process that only looks has no need to."""
        if self._thread is None and self._path is not None:
            self._thread = threading.Thread(target=self._watch, name="ledger-wait", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        before, rounds = -1, 0
        while not self._closed.wait(self._late_after_s):
            under_way = self.begun if self.begun != self.ended else -1
            late = under_way != -1 and under_way == before
            rounds = rounds + 1 if late else 0
            if late and rounds % _TOLD_EVERY == 1:
                self._tell()
                self._when_late()
            before = under_way

    def _tell(self) -> None:
        """Say whom the write waits for; the run goes on once they let go."""
        named = {} if self._path is None else holders_of(self._path)
        if not named:
            # Much to write takes its time, too; or another machine holds what only looks local.
            log.warning("a write to the ledger takes long, and no program is seen to hold it")
        for pid, name in named.items():
            log.warning(
                "waiting for a program that holds the ledger", program=Word(name), held_by=pid
            )
