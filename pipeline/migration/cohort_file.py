"""Reads a cohort (`run --only FILE`): the legacy ids that a run may send, one a line."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.disk import open_regular_file
from pipeline.errors import SettingsRefused
from pipeline.ledger.cohort import Chosen, cohort

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pipeline.ledger.ledger import Ledger

_LINE_BYTES_MAX: Final = 4096
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CHOSEN: Final = "cohort_chosen"
"""Under this name the ledger keeps that some rows may be left out of the last cohort."""


class CohortFile(NamedTuple):
    """What a cohort's file holds: its digest, and its legacy ids without repetition."""

    sha256: str
    legacy_ids: Collection[str]


def read_cohort(path: Path) -> CohortFile:
    """Read a file of legacy ids in UTF-8; blank lines and blanks around an id do not count.

    Raises:
        SettingsRefused: It cannot be read, is no such file, or names nobody.
    """
    digest, found = hashlib.sha256(), dict[str, None]()
    try:
        with open_regular_file(path) as file:
            while line := file.readline(_LINE_BYTES_MAX + 1):
                digest.update(line)
                if len(line) > _LINE_BYTES_MAX:
                    raise _refused("holds a line that is longer than any legacy id")
                legacy_id = line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8").strip()
                if legacy_id:
                    found[legacy_id] = None
    except OSError as error:
        raise _refused(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _refused("is not text in UTF-8") from None
    if not found:
        raise _refused("names no legacy id")
    return CohortFile(digest.hexdigest(), found.keys())


def choose(ledger: Ledger, export_ids: Collection[int], chosen: CohortFile | None) -> Chosen | None:
    """Leave out the rows that are not in a cohort; without one, take back what an earlier one left.

    Args:
        ledger: The ledger, after planning and before anything is sent.
        export_ids: The exports that were given.
        chosen: The cohort; None for every row.

    Returns:
        What was left out; None without a cohort.
    """
    if chosen is None and not _is_any_left_out(ledger, export_ids):
        return None
    told = cohort(ledger, export_ids, None if chosen is None else chosen.legacy_ids)
    if chosen is None:
        # Other exports may still hold rows of an earlier cohort, so that the note stays.
        return None
    ledger.remember(_CHOSEN, chosen.sha256)
    return told


def _is_any_left_out(ledger: Ledger, export_ids: Collection[int]) -> bool:
    if not ledger.recall(_CHOSEN):
        return False
    return ledger.ask(lambda look: look.left_out(export_ids)) > 0


def note_left_out(ledger: Ledger) -> None:
    """Note that rows are left out, so that a run that is given their export takes them back."""
    if not ledger.recall(_CHOSEN):
        ledger.remember(_CHOSEN, "given up")


def _refused(why: str) -> SettingsRefused:
    return SettingsRefused(
        [f"--only: the file {why}"], next_step="Give a text file with one legacy id a line."
    )
