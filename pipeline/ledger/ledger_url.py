"""Says where a ledger is, and gives the URL of the one in a migration's folder or beyond it.

A ledger is named by a URL: `sqlite:///folder/ledger.sqlite` in a migration's folder, `sqlite:` for
a temporary one that leaves nothing behind, `postgresql://...` for one that is elsewhere.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pipeline.config.credentials import read_secret
from pipeline.errors import SettingsRefused
from pipeline.ledger.pointer_file import POINTER_NAME, SCHEMA_PREFIX, pointer_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.config.addresses import SecretSource

LEDGER_NAME: Final = "ledger.sqlite"
"""The ledger's file in a migration's folder; its `-journal` is part of it."""


@dataclass(frozen=True, slots=True)
class LedgerUrl:
    """The URL of a ledger, and the folder of the files that are made from it.

    Attributes:
        text: The URL; it may hold a password, so it is never shown.
        folder: The migration's folder; None for a temporary ledger.
        schema: In PostgreSQL the schema that is the ledger; its name is random.
        source: Where the URL was read from, to be named in the folder; None in SQLite.
        is_known: Whether the folder names this ledger already, so that it has to be there.
    """

    text: str = field(repr=False)
    folder: Path | None = None
    schema: str = ""
    source: SecretSource | None = None
    is_known: bool = False


TEMPORARY: Final = LedgerUrl("sqlite:")
"""A ledger that is gone once it is closed (`cardferry check`)."""


def ledger_url(folder: Path, environ: Mapping[str, str] = os.environ) -> LedgerUrl:
    """Give the URL of the ledger of a migration's folder, be it there or named there.

    Raises:
        SettingsRefused: The folder names where the URL is, and it cannot be read there.
        VerificationFailed: What names it is not what Cardferry wrote.
    """
    pointer = pointer_of(folder)
    if pointer is None:
        return _in_folder(folder)
    try:
        text = read_secret(pointer.source, environ, strict=True)
    except ValueError as error:
        raise SettingsRefused(
            [f"ledger.url: {error}"],
            next_step=f"{POINTER_NAME} in the folder names the place of the URL; put it there.",
        ) from None
    return LedgerUrl(text, folder, pointer.schema, pointer.source, is_known=True)


def ledger_url_of_run(folder: Path, source: SecretSource | None, text: str | None) -> LedgerUrl:
    """Give the URL of the ledger that a run goes on with, or begins.

    Args:
        folder: The migration's folder.
        source: Where the settings say that the URL is; None for SQLite in the folder.
        text: The URL that was read there.

    Raises:
        SettingsRefused: The folder's ledger is elsewhere than the settings say.
        VerificationFailed: What names it is not what Cardferry wrote.
    """
    pointer = pointer_of(folder)
    if source is None or text is None:
        if pointer is not None:
            raise _elsewhere(f"this folder's ledger is in PostgreSQL ({POINTER_NAME})")
        return _in_folder(folder)
    if pointer is not None:
        return LedgerUrl(text, folder, pointer.schema, source, is_known=True)
    if (folder / LEDGER_NAME).exists():
        raise _elsewhere(f"this folder's ledger is in SQLite ({LEDGER_NAME})")
    return LedgerUrl(text, folder, SCHEMA_PREFIX + secrets.token_hex(16), source)


def ledger_url_to_verify(folder: Path) -> LedgerUrl:
    """Give the URL of what is verified: the file where there is one, as after `export-ledger`.

    Raises:
        SettingsRefused, VerificationFailed: As for `ledger_url`.
    """
    if os.path.lexists(folder / LEDGER_NAME):
        return _in_folder(folder)
    return ledger_url(folder)


def is_begun(folder: Path) -> bool:
    """Tell whether a migration's folder holds a ledger, or names one."""
    return (folder / LEDGER_NAME).is_file() or is_elsewhere(folder)


def is_elsewhere(folder: Path) -> bool:
    """Tell whether a migration's folder names a ledger that is not in it."""
    return os.path.lexists(folder / POINTER_NAME)


def _in_folder(folder: Path) -> LedgerUrl:
    return LedgerUrl(f"sqlite://{quote(str((folder / LEDGER_NAME).absolute()))}", folder)


def _elsewhere(where: str) -> SettingsRefused:
    return SettingsRefused(
        [f"ledger.url: {where}"],
        next_step="Name the same ledger as when it was begun, or use another folder; "
        "a ledger is never moved.",
    )
