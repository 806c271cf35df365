"""Has sections worked out while other rows of the run are still sent, so that less is left for the end.

Sections whose rows were all sent are marked (`early_marks`). Then a process works out of a copy of the
ledger what is marked (`early_work`). What it found of a section is right for as long as
that very mark stands, and that is looked up when outputs are published, in the transaction that keeps
what was found (`section_renewal`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.ledger.early_marks import mark_sections
from pipeline.ledger.snapshot import looking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.ledger.ledger import Ledger

_COPY_BYTES_MAX: Final = 128_000_000
"""A larger copy would hold the run up for longer than it saves at the end."""


class EarlySections:
    """Marks sections of a run, now and then, and has them worked out.

    Args:
        ledger: The open ledger of the run.
        part: Makes something of a part of rows; called with a look, and its first and last id.
    """

    def __init__(self, ledger: Ledger, part: Callable[..., Any]) -> None:
        self._ledger = ledger
        self._part = part
        self._number = 0

    def begin(self) -> None:
        """Have worked out what no row under way will change, if a process can.

        Raises:
            LocalStorageFailed: The disk refused the marks, so that nothing more is written.
        """
        ledger, process = self._ledger, self._ledger.early
        if not _is_soon_copied(ledger.file):
            return
        process.start(self._part.__module__)
        if process.line is None:
            return
        self._number += 1
        with ledger.transaction() as connection:
            marked = mark_sections(connection, self._number, looking(self._part))
        process.tell(marked)

    def expect_end(self) -> None:
        """Have the second process stand ready for what is left."""
        self._ledger.second.start(self._part.__module__)


def _is_soon_copied(file: Path | None) -> bool:
    return file is not None and file.stat().st_size <= _COPY_BYTES_MAX
