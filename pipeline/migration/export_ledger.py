"""Gives a migration's ledger as one SQLite file, so that its folder can be verified anywhere, offline."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from pipeline.errors import LocalStorageFailed, SettingsRefused, VerificationFailed
from pipeline.ledger.copying import copy_into_file
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import is_begun, ledger_url

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.clock import Clock


def export_ledger(folder: Path, clock: Clock, file: Path) -> str:
    """Write the ledger of a folder into a file, whole or not at all; a run may go on meanwhile.

    Args:
        folder: The migration folder.
        clock: For opening the ledger; nothing is dated.
        file: The file; one that is there is never replaced.

    Returns:
        The hash of the last event in it.

    Raises:
        LocalStorageFailed: The disk refused, or the ledger's server does not answer.
        SettingsRefused: There is a file of that name, or the server does not let us in.
        VerificationFailed: There is no ledger, or it is damaged.
    """
    if not is_begun(folder):
        raise VerificationFailed(
            "there is no ledger in this folder",
            next_step="Name the folder that `cardferry run -o` made.",
        )
    if os.path.lexists(file):
        raise SettingsRefused(
            ["-o: there is a file of that name"],
            next_step="Name another, or remove it; a ledger is never written over.",
        )
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with closing(Ledger(ledger_url(folder), clock, read_only=True, apart=True)) as ledger:
            head = copy_into_file(ledger, unfinished)
        unfinished.chmod(0o600)
        # Unlike a rename this leaves a file that came in between as it is.
        os.link(unfinished, file)
    except OSError as trouble:
        raise LocalStorageFailed(
            f"{file} cannot be written ({trouble.strerror})",
            next_step="Name a file in a folder that this user may write to.",
        ) from None
    finally:
        for ending in ("", "-journal"):
            with suppress(OSError):
                unfinished.with_name(unfinished.name + ending).unlink()
    return head
