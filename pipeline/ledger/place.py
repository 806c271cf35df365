"""Says where a ledger is.

A ledger is named by a URL: `sqlite:///folder/ledger.sqlite` in a migration's folder, `sqlite:` for
a temporary one that leaves nothing behind, `postgresql://...` for one that is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

LEDGER_NAME: Final = "ledger.sqlite"
"""The ledger's file in a migration's folder; its `-journal` is part of it."""


@dataclass(frozen=True, slots=True)
class LedgerUrl:
    """The URL of a ledger, and the folder of the files that are made from it.

    Attributes:
        text: The URL; it may hold a password, so it is never shown.
        folder: The migration's folder; None for a temporary ledger.
        mark: What a ledger that is elsewhere is marked with, so that no other is taken for it.
    """

    text: str = field(repr=False)
    folder: Path | None = None
    mark: str | None = None


TEMPORARY: Final = LedgerUrl("sqlite:")
"""A ledger that is gone once it is closed (`cardferry check`)."""


def ledger_url(folder: Path) -> LedgerUrl:
    """Give the URL of the ledger in a migration's folder."""
    return LedgerUrl(f"sqlite://{quote(str((folder / LEDGER_NAME).absolute()))}", folder)


def is_begun(folder: Path) -> bool:
    """Tell whether a migration's folder holds a ledger."""
    return (folder / LEDGER_NAME).is_file()
