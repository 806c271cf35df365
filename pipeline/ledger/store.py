"""Says where a ledger is, and which program of ours opens it there.

A ledger is named by a URL: `sqlite:///folder/ledger.sqlite` in a migration's folder, `sqlite:` for
a temporary one that leaves nothing behind. Whoever is not the ledger needs to know no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import SettingsRefused

LEDGER_NAME: Final = "ledger.sqlite"
"""The ledger's file in a migration's folder; its `-journal` is part of it."""

TEMPORARY: Final = "sqlite:"
"""The URL of a ledger that is gone once it is closed (`cardferry check`)."""


def ledger_url(folder: Path) -> str:
    """Give the URL of the ledger in a migration's folder."""
    return f"sqlite://{quote(str((folder / LEDGER_NAME).absolute()))}"


def is_begun(folder: Path) -> bool:
    """Tell whether a migration's folder holds a ledger."""
    return (folder / LEDGER_NAME).is_file()


def path_of(url: str) -> Path | None:
    """Give the file of a ledger in SQLite, or None for a temporary one.

    Raises:
        SettingsRefused: No ledger of ours can be there.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc:
        raise SettingsRefused(["ledger.url: a ledger is kept in SQLite, in the migration's folder"])
    return Path(unquote(parts.path)) if parts.path else None
